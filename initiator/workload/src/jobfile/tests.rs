use super::lexer::{JOB_FILE_BYTES_MAX, LINE_BYTES_MAX};
use super::{Effect, JobFile, options, size};
use crate::job::{Rw, Verify};
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
    assert_eq!((seq.rw, seq.bs, seq.size, seq.iodepth), (Rw::Write, [8192; 2], Some(1 << 30), 32));
    assert!(seq.end_fsync && !seq.time_based && seq.stage == 0 && seq.group == 0);
    assert_eq!((rand.name.as_str(), rand.rw, rand.rwmixread), ("rand", Rw::RandRw, 70));
    assert_eq!(rand.bs, [4096, 16384]);
    assert!(rand.norandommap && rand.stage == 1 && rand.group == 1);
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
        ("[j]\n  rwx=read\n", "t.fio:2:3: option 'rwx' is not supported; did you mean 'rw'?"),
        ("[j]\niodeth=3\n", "t.fio:2:1: option 'iodeth' is not supported; did you mean 'iodepth'?"),
        ("[j]\nzonemode=zbd\n", "t.fio:2:1: option 'zonemode' is not supported"),
        ("[j]\nsize\n", "t.fio:2:1: 'size' needs a value: size=SIZE"),
        ("[j]\nsize=\n", "t.fio:2:1: 'size' needs a value: size=SIZE"),
        (
            "[j]\ninclude x.fio\n",
            "t.fio:2:1: 'include' is not supported: put the jobs into one file",
        ),
        (
            "[j]\nfilename=${HOME}\n",
            "t.fio:2:1: 'filename': environment variables are not expanded",
        ),
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
        ("rw=randread:8", "sequence modifiers"),
        ("rw=reed", "'reed' is not read, write"),
        ("size=0", "use at least 1"),
        ("size=50%", "percentages are not supported"),
        ("time_based", "time_based needs runtime="),
        ("time_based=yes", "'yes' is not 0 or 1"),
        ("runtime=1x", "unknown suffix 'x'"),
        ("ioengine=libaio", "ioengine: 'libaio' is an engine of fio's"),
        ("verify=md5", "'md5' is not supported; use crc32c or pattern"),
        ("verify=pattern", "needs verify_pattern="),
        ("verify=crc32c\nbs=32", "blocks of at least 64 bytes"),
        ("verify_pattern=zz", "verify_pattern: 'zz' is not"),
        ("randrepeat=0", "use randseed="),
        ("filename=a:../b", "'..' would leave the mount"),
        ("filename=a:b\nnrfiles=3", "filename= names 2"),
        ("filename_format=x\nnrfiles=2", "add $filenum"),
        ("filename_format=$x", "only $jobname, $jobnum and $filenum"),
        ("rw=randrw\nbs=4k,8k", "needs norandommap"),
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
    assert_eq!(job("bs=,8k").map(|j| j.bs), Ok([4096, 8192]));
    assert_eq!(job("bs=8k,").map(|j| j.bs), Ok([8192, 4096]));
    assert_eq!(job("verify=crc32c").map(|j| j.verify), Ok(Verify::Crc32c));
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
    let message = JobFile::read(missing).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message.starts_with("/nonexistent/x.fio: cannot read the job file: "), "{message}");
}

#[test]
fn the_list_of_options_is_fit_to_print() {
    let mut names: Vec<&str> = options().iter().map(|o| o.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), options().len(), "no option twice");
    assert!(options().iter().all(|o| !o.help.is_empty()));
    assert!(options().iter().any(|o| o.effect == Effect::NoOp));
}

proptest! {
    #[test]
    fn any_bytes_give_jobs_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = JobFile::parse(&bytes, "t");
    }

    /// Text that gets further than random bytes do: real option names, odd values.
    #[test]
    fn any_values_give_jobs_or_an_error(
        lines in proptest::collection::vec((0..options().len(), "[ -~]{0,12}|[0-9]{1,20}[kmgt]?|0x[0-9a-f]{0,9}"), 0..12)
    ) {
        let body: String = lines.iter().map(|(o, v)| format!("{}={v}\n", options()[*o].name)).collect();
        if let Err(e) = JobFile::parse(format!("[j]\nsize=1m\n{body}").as_bytes(), "t") {
            prop_assert!(e.to_string().starts_with("t:"), "{}", e);
        }
    }
}
