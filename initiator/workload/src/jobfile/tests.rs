use super::lexer::{JOB_FILE_BYTES_MAX, LINE_BYTES_MAX};
use super::{Argument, Effect, JobFile, options, size};
use crate::job::{BlockSizes, Rw, Verify};
use crate::verify::Sum;
use proptest::prelude::*;

fn parse(text: &str) -> Result<JobFile, String> {
    JobFile::parse(text.as_bytes(), "t.fio").map_err(|e| e.to_string())
}

/// The one job of `[j]` with `options` after what every job needs.
fn job(options: &str) -> Result<crate::Job, String> {
    parse(&format!("[j]\nsize=1m\n{options}\n")).map(|mut file| file.jobs.remove(0))
}

#[test]
fn a_job_file_as_people_write_them() {
    let text = "; a comment\n\
                [global]\n\
                nfs_url=nfs://server/export   # which mount\n\
                bs=8k\nsize=1g\niodepth=32\n\n\
                [seq]\nrw=write\nend_fsync=1\n\n\
                \t[ rand ]\n  readwrite = randrw \nrwmixwrite=30\nbs=4k,16k\nnorandommap\nstonewall\n\
                [global]\ntime_based\nruntime=1m\n\
                [timed]\nrw=randread\nname=third\n";
    let file = parse(text).expect("a good file");
    let [seq, rand, timed] = &file.jobs[..] else {
        panic!("three jobs, not {}", file.jobs.len());
    };
    assert_eq!((seq.rw, seq.size, seq.iodepth), (Rw::Write, Some(1 << 30), 32));
    assert_eq!(seq.bs, [8192; 2].map(BlockSizes::fixed));
    assert!(seq.end_fsync && !seq.time_based && seq.stage == 0 && seq.group == 0);
    assert_eq!((rand.name.as_str(), rand.rw, rand.rwmixread), ("rand", Rw::RandRw, 70));
    assert_eq!(rand.bs, [4096, 16384].map(BlockSizes::fixed));
    assert!(rand.random.no_map && rand.stage == 1 && rand.group == 1);
    assert_eq!((timed.name.as_str(), timed.section.as_str()), ("third", "timed"));
    assert_eq!((timed.time_based, timed.runtime_ns), (true, Some(60_000_000_000)));
    assert_eq!(timed.nfs_url.as_deref(), Some("nfs://server/export"));
    assert_eq!(timed.stage, 1);
    assert_eq!(file.global_options[1], ("bs".into(), "8k".into()));
    assert_eq!(seq.options, [("rw".into(), "write".into()), ("end_fsync".into(), "1".into())]);
}

/// Measured with fio 3.33: `fio --rw=write --bs=1 --size=TEXT`.
#[test]
fn sizes_are_fios() {
    for (text, bytes) in [
        ("1k", 1024),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KB", 1024),
        ("1ki", 1024),
        ("1kib", 1000),
        ("1KiB", 1000),
        ("0x10", 16),
        ("10", 10),
        ("10b", 10),
        ("010", 10),
        ("1m", 1 << 20),
        ("1mi", 1 << 20),
        ("1gib", 1_000_000_000),
        ("2g", 2 << 30),
        ("1t", 1 << 40),
        ("1p", 1 << 50),
    ] {
        assert_eq!(size::size(text), Ok(bytes), "{text}");
    }
    for text in [
        "",
        "k",
        "-5",
        "+5",
        "1.5k",
        "1kx",
        "1m2",
        "1e",
        "9000p",
        "99999999999999999999",
        "0x",
        "1 k",
    ] {
        assert!(size::size(text).is_err(), "{text}");
    }
}

#[test]
fn times_are_seconds_unless_they_say() {
    const S: u64 = 1_000_000_000;
    for (text, ns) in [
        ("10", 10 * S),
        ("10s", 10 * S),
        ("1m", 60 * S),
        ("2h", 7200 * S),
        ("1d", 86_400 * S),
        ("500ms", S / 2),
        ("100us", 100_000),
        ("7msec", 7_000_000),
        ("9usec", 9_000),
        ("3S", 3 * S),
    ] {
        assert_eq!(size::time_ns(text), Ok(ns), "{text}");
    }
    for text in ["", "s", "1.5s", "1x", "-1", "999999999999d"] {
        assert!(size::time_ns(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    for (text, message) in [
        ("", "t.fio:1:1: no job in the file; a job is a section such as [job1]"),
        ("[global]\nrw=read\n", "t.fio:1:1: no job in the file; a job is a section such as [job1]"),
        ("size=1m\n[j]\n", "t.fio:1:1: 'size' before any [section]"),
        ("[j\n", "t.fio:1:1: '[j' has no closing ']'"),
        ("\n  [] \n", "t.fio:2:3: a section needs a name, as in [job1]"),
        ("[j] x\n", "t.fio:1:1: 'x' after the closing ']'"),
        ("[j]\n =3\n", "t.fio:2:2: '=' without an option name before it"),
        ("[j]\nwrite it\n", "t.fio:2:1: 'write it' is neither [section] nor option=value"),
        ("[j]\n  rwx=read\n", "t.fio:2:3: option 'rwx' is unknown; did you mean 'rw'?"),
        ("[j]\niodeth=3\n", "t.fio:2:1: option 'iodeth' is unknown; did you mean 'iodepth'?"),
        (
            "[j]\nzonemode=zbd\n",
            "t.fio:2:1: option 'zonemode' is not supported: a file on NFS has no zones; for a skewed load use random_distribution=zoned",
        ),
        ("[j]\nsize\n", "t.fio:2:1: 'size' needs a value: size=SIZE|PERCENT%"),
        ("[j]\nsize=\n", "t.fio:2:1: 'size' needs a value: size=SIZE|PERCENT%"),
        ("[j]\ninclude x.fio\n", "t.fio:2:1: 'include' needs a job file that is read from a file"),
        ("[j]\nfilename=${HOME\n", "t.fio:2:1: '${HOME' has no closing '}'"),
        ("[j]\nna\u{1}me=x\n", "t.fio:2:3: a control character; a job file is plain text"),
    ] {
        assert_eq!(parse(text).err().as_deref(), Some(message), "{text:?}");
    }
    let bytes = b"[j]\nname=\xc3\xa9\xff\n";
    let message = JobFile::parse(bytes, "t.fio").err().map(|e| e.to_string());
    assert_eq!(
        message.as_deref(),
        Some("t.fio:2:7: the line is not UTF-8 text; is this a job file?")
    );
}

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    for (options, part) in [
        ("bs=0", "t.fio:3:1: bs: a block of 0 bytes"),
        ("blocksize=4x", "blocksize: '4x': unknown suffix 'x'"),
        ("bs=1,2,3,4", "too many parts"),
        ("bs=2m", "size=1048576 is smaller than one block (bs=2097152)"),
        ("nrfiles=1000", "size=1048576 over 1000 files is 1048 bytes each"),
        ("iodepth=0", "iodepth: 0 is out of range; use 1 to 65536"),
        ("iodepth=65537", "out of range"),
        ("numjobs=0", "numjobs: 0 is out of range"),
        ("numjobs=1025", "use 1 to 1024"),
        ("rwmixread=101", "use 0 to 100"),
        ("rw=trim", "NFSv3 has no trim"),
        ("rw=randtrimwrite", "NFSv3 has no trim"),
        ("rw=randread:0", "0 is out of range"),
        ("rw=read:x", "'x' is not a size"),
        ("rw=reed", "'reed' is not read, write"),
        ("size=0", "use at least 1"),
        ("size=0%", "use 1 to 100"),
        ("size=101%", "use 1 to 100"),
        ("time_based", "time_based needs runtime="),
        ("time_based=yes", "'yes' is not 0 or 1"),
        ("runtime=1x", "unknown suffix 'x'"),
        ("ioengine=rbd", "ioengine: 'rbd' does something else than reading and writing files"),
        ("verify=md4", "'md4' is not supported; use crc32c, md5, crc64"),
        ("verify=pattern", "needs verify_pattern="),
        ("verify=crc32c\nbs=32", "blocks of at least 88 bytes"),
        ("verify=crc32c\nverify_offset=3", "can be at 44 to 4052"),
        ("verify_pattern=zz", "verify_pattern: 'zz' is not"),
        ("randrepeat=x", "not 0 or 1"),
        ("filename=a:../b", "'..' would leave the mount"),
        ("filename=a:b\nnrfiles=3", "filename= names 2"),
        ("filename_format=x\nnrfiles=2", "add $filenum"),
        ("filename_format=$x", "only $jobname, $jobnum and $filenum"),
        ("rate=1m\nrate_iops=5", "exclude each other"),
        ("rate_min=2m\nrate=1m", "larger than the rate itself"),
        ("latency_target=50", "needs latency_window="),
        ("steadystate=iops:2%", "needs steadystate_duration="),
        ("steadystate=iops", "has no limit"),
        ("bssplit=4k/50:8k/40", "add up to 90, not to 100"),
        ("bsrange=8k-4k", "must not be larger"),
        ("random_distribution=zipf:1.0", "theta must not be 1.0"),
        ("random_distribution=zoned:50/10:40/90", "accesses add up to 90"),
        ("wait_for=nobody", "no job 'nobody' is written above"),
        ("iodepth_batch_complete_min=2", "more than iodepth=1"),
        ("size=(1k+)", "a number is missing"),
        ("size=(4k/0)", "division by zero"),
        ("rw=write\nverify=crc32c\nnumjobs=2\nfilename=x", "2 instances would write the same file"),
        ("rw=write\nverify=crc32c\nsize=4t", "verify remembers every block"),
        ("offset=9223372036854775807", "beyond what a file can hold"),
        ("io_size=1k", "io_size is smaller than one block"),
        ("fallocate=yes", "not one of none"),
    ] {
        let message = job(options).err().unwrap_or_default();
        assert!(
            message.starts_with("t.fio:") && message.contains(part),
            "{options:?}: {message:?}"
        );
    }
    let message = parse("[j]\nrw=write\n").err().unwrap_or_default();
    assert_eq!(message, "t.fio:1:1: a job that writes needs size=, for example size=1g");
}

#[test]
fn what_fio_takes_for_granted_is_accepted() {
    let text = "direct=1\nioengine=nfs\nthread\ninvalidate=1\nfallocate=none\nrandrepeat=1\nbuffered=0\nverify_fatal=1";
    assert!(job(text).is_ok());
    assert_eq!(job("bs=,8k").map(|j| j.bs), Ok([4096, 8192].map(BlockSizes::fixed)));
    assert_eq!(job("bs=8k,").map(|j| j.bs), Ok([8192, 4096].map(BlockSizes::fixed)));
    assert_eq!(job("verify=crc32c").map(|j| j.verify), Ok(Verify::Sum(Sum::Crc32c)));
    assert_eq!(job("filename=/a/b:c").map(|j| j.filenames), Ok(vec!["a/b".into(), "c".into()]));
}

#[test]
fn limits_hold() {
    let long = format!("[j]\nname={}\n", "x".repeat(LINE_BYTES_MAX));
    assert!(parse(&long).err().unwrap_or_default().contains("longer than 4096 bytes"));
    let large = vec![b'\n'; JOB_FILE_BYTES_MAX + 1];
    assert!(JobFile::parse(&large, "t").is_err());
    assert!(parse(&"[j]\n".repeat(1025)).err().unwrap_or_default().contains("more than 1024 jobs"));
    let many = "[j]\nsize=1m\nnumjobs=1024\n".repeat(5);
    let message = parse(&many).err().unwrap_or_default();
    assert_eq!(message, "t.fio:15:1: numjobs of all jobs together is more than 4096");
    let globals = format!("[global]\n{}", "thread\n".repeat(257));
    assert!(parse(&globals).err().unwrap_or_default().contains("more than 256 options"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = std::path::Path::new("/nonexistent/x.fio");
    let message = JobFile::read(missing, &[]).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message.starts_with("/nonexistent/x.fio: cannot read the job file: "), "{message}");
}

#[test]
fn the_list_of_options_is_fit_to_print() {
    let mut names: Vec<&str> = options().map(|o| o.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), options().count(), "no option twice");
    assert!(options().all(|o| !o.help.is_empty()));
    assert!(options().any(|o| o.effect == Effect::NoOp));
}

#[test]
fn an_option_of_fios_that_is_not_supported_says_why() {
    for option in options().filter(|o| o.effect == Effect::Refused) {
        let message = job(&format!("{}=1", option.name)).err().unwrap_or_default();
        let expected =
            format!("t.fio:3:1: option '{}' is not supported: {}", option.name, option.help);
        assert_eq!(message, expected);
    }
}

#[test]
fn files_include_files_to_a_depth_and_errors_name_the_inner_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("written");
    write("outer.fio", "include inner.fio\n[j]\nsize=1m\n");
    write("inner.fio", "[global]\nbs=8k\n");
    let file = JobFile::read(&at("outer.fio"), &[]).expect("good files");
    assert_eq!(file.jobs[0].bs[0].min, 8192);
    write("inner.fio", "[global]\nbs=8x\n");
    let message = JobFile::read(&at("outer.fio"), &[]).err().map(|e| e.to_string());
    assert!(message.as_deref().unwrap_or("").starts_with("inner.fio:2:1: bs: "), "{message:?}");
    write("inner.fio", "include inner.fio\n");
    let message = JobFile::read(&at("outer.fio"), &[]).err().map(|e| e.to_string());
    assert!(
        message.as_deref().unwrap_or("").contains("more than 8 files include each other"),
        "{message:?}"
    );
    write("outer.fio", "include nobody.fio\n");
    let message = JobFile::read(&at("outer.fio"), &[]).err().map(|e| e.to_string());
    assert!(
        message.as_deref().unwrap_or("").contains("cannot include 'nobody.fio'"),
        "{message:?}"
    );
}

#[test]
fn sections_are_chosen_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("j.fio");
    std::fs::write(&path, "[global]\nsize=1m\n[a]\n[b]\n").expect("written");
    let jobs = JobFile::read(&path, &["b".into()]).expect("it is there").jobs;
    assert_eq!(jobs.iter().map(|j| j.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let message =
        JobFile::read(&path, &["c".into()]).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message.ends_with("no section [c] in the file"), "{message}");
}

#[test]
fn sums_the_environment_and_words_for_the_machine_make_values() {
    assert_eq!(job("size=(4k*256+2^10)").map(|j| j.size), Ok(Some((1 << 20) + 1024)));
    assert_eq!(job("runtime=(2*30s)").map(|j| j.runtime_ns), Ok(Some(60_000_000_000)));
    assert_eq!(job("bs=$pagesize").map(|j| j.bs[0].min), Ok(4096));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    assert_eq!(job("numjobs=2*$ncpus").map(|j| j.numjobs), Ok(2 * cpus));
    assert_eq!(job("name=${CARGO_PKG_NAME}-x").map(|j| j.name), Ok("workload-x".into()));
    let deep = format!("size={}1{}", "(".repeat(2000), ")".repeat(2000));
    assert!(job(&deep).err().unwrap_or_default().contains("parentheses inside each other"));
}

#[test]
fn a_command_line_makes_the_jobs_that_a_file_would() {
    let argument = |text: &str| {
        let (option, value) = match text.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        Argument { option, value }
    };
    let parse = |texts: &[&str]| {
        let arguments: Vec<Argument> = texts.iter().map(|t| argument(t)).collect();
        JobFile::from_arguments(&arguments).map_err(|e| e.to_string())
    };
    let file =
        parse(&["bs=8k", "name=a", "rw=randread", "size=1m", "name=b", "size=2m", "stonewall"]);
    let jobs = file.expect("good arguments").jobs;
    assert_eq!((jobs[0].bs[0].min, jobs[1].bs[0].min), (8192, 8192));
    assert_eq!((jobs[0].size, jobs[1].size, jobs[1].stage), (Some(1 << 20), Some(2 << 20), 1));
    assert_eq!(
        parse(&["size=1m"]).err().as_deref(),
        Some("--size: no job: begin it with --name=NAME")
    );
    assert_eq!(parse(&["name=a", "bs=x"]).err().as_deref().map(|m| &m[..6]), Some("--bs: "));
}

/// Jobs, or an error with a line and a column that are in the text.
fn jobs_or_a_place(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Err(error) = JobFile::parse(bytes, "t") else { return Ok(()) };
    let text = error.to_string();
    let mut parts = text.strip_prefix("t:").unwrap_or("").splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
    let (line, column) = (number().unwrap_or(0), number().unwrap_or(0));
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    prop_assert!((1..=lines.len()).contains(&line), "line {line} of {}: {text}", lines.len());
    let len = lines[line - 1].len();
    prop_assert!((1..=len + 1).contains(&column), "column {column} of {len}: {text}");
    Ok(())
}

/// A file that is right, and has something of everything.
const RIGHT: &str = "; a comment\n[global]\nnfs_url=nfs://server/export\nbs=(4k*2)\nsize=1g\n\n\
                     [one]\nrw=randrw:8\nbssplit=4k/10:64k/50:32k/40\nrwmixread=70\niodepth=32\n\
                     random_distribution=zoned:60/10:30/20:10/70\n[two]\nstonewall\nrw=write\n\
                     verify=crc32c\nverify_pattern=0xdeadbeef\nrate_iops=1k,2k\nname=${HOME}\n";

#[test]
fn a_file_that_is_cut_off_anywhere_gives_its_jobs_or_a_place() {
    assert!(parse(RIGHT).is_ok());
    for end in 0..RIGHT.len() {
        jobs_or_a_place(&RIGHT.as_bytes()[..end]).unwrap_or_else(|error| panic!("{end}: {error}"));
    }
}

#[test]
fn a_file_of_the_largest_size_is_read_and_one_of_a_hundred_times_that_is_not() {
    let lines = JOB_FILE_BYTES_MAX / 16 - 2;
    let large = format!("[j]\nsize=1m\n{}", "description=abc\n".repeat(lines));
    assert!(large.len() <= JOB_FILE_BYTES_MAX && parse(&large).is_ok());
    for byte in [b'\n', b'[', b'x', 0, 0xff] {
        let huge = vec![byte; 100 * JOB_FILE_BYTES_MAX];
        let error = JobFile::parse(&huge, "t").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("t:1:1: the job file has more than 1048576 bytes"));
    }
}

proptest! {
    #[test]
    fn any_bytes_give_jobs_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        jobs_or_a_place(&bytes)?;
    }

    /// As when the wrong file is named: a program, a picture.
    #[test]
    fn a_binary_file_gives_a_place(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0..1900usize
    ) {
        bytes.insert(at.min(bytes.len()), 0xff);
        prop_assert!(JobFile::parse(&bytes, "t").is_err());
        jobs_or_a_place(&bytes)?;
    }

    #[test]
    fn a_file_of_which_bytes_were_changed_gives_jobs_or_a_place(
        changes in proptest::collection::vec((0..RIGHT.len(), any::<u8>()), 1..8), end in 0..RIGHT.len() * 2
    ) {
        let mut bytes = RIGHT.as_bytes().to_vec();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        bytes.truncate(end);
        jobs_or_a_place(&bytes)?;
    }

    /// Text that gets further than random bytes do: real option names, odd values.
    #[test]
    fn any_values_give_jobs_or_an_error(
        lines in proptest::collection::vec((0..options().count(), "[ -~]{0,12}|[0-9]{1,20}[kmgt]?|0x[0-9a-f]{0,9}"), 0..12)
    ) {
        let name = |n: usize| options().nth(n).map_or("", |o| o.name);
        let body: String = lines.iter().map(|(o, v)| format!("{}={v}\n", name(*o))).collect();
        jobs_or_a_place(format!("[j]\nsize=1m\n{body}").as_bytes())?;
    }
}
