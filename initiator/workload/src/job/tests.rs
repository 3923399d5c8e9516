use super::{BlockSizes, Flag, Instance, Job, Rw};
use crate::jobfile::JobFile;

fn flag(flag: &str, option: &str, value: &str) -> Flag {
    Flag { flag: flag.into(), option: option.into(), value: Some(value.into()) }
}

#[test]
fn flags_make_the_job_that_a_file_would() {
    let flags = [
        flag("-w", "rw", "randrw"),
        flag("-b", "bs", "8k"),
        flag("-q", "iodepth", "16"),
        flag("-t", "runtime", "10"),
        Flag { flag: "-t".into(), option: "time_based".into(), value: None },
        flag("--size", "size", "1g"),
        flag("--rwmixread", "rwmixread", "70"),
    ];
    let job = Job::from_flags("perf", flags).expect("good flags");
    assert_eq!((job.rw, job.iodepth), (Rw::RandRw, 16));
    assert_eq!(job.bs, [BlockSizes::fixed(8192), BlockSizes::fixed(8192)]);
    assert_eq!((job.size, job.rwmixread), (Some(1 << 30), 70));
    assert!(job.time_based && job.runtime_ns == Some(10_000_000_000));
}

#[test]
fn errors_name_the_flag() {
    let message = |flags: Vec<Flag>| Job::from_flags("perf", flags).err().map(|e| e.to_string());
    assert_eq!(
        message(vec![flag("-q", "iodepth", "0")]).as_deref(),
        Some("-q: iodepth: 0 is out of range; use 1 to 65536")
    );
    assert_eq!(
        message(vec![flag("--size", "size", "1k")]).as_deref(),
        Some("--size: size=1024 is smaller than one block (bs=4096)")
    );
    assert_eq!(
        message(vec![flag("-w", "rw", "write")]).as_deref(),
        Some("job 'perf': a job that writes needs size=, for example size=1g")
    );
}

#[test]
fn instances_have_their_own_files_and_numbers() {
    let text = "[a]\nsize=1m\nnumjobs=2\nnrfiles=2\n[b]\nsize=1m\nname=x\ndirectory=/d/\nfilename=f:g\n\
                [c]\nsize=1m\nfilename_format=$jobname/$filenum-$jobnum\n";
    let jobs = JobFile::parse(text.as_bytes(), "t").expect("right").jobs;
    let instances = Instance::of(&jobs);
    let paths: Vec<Vec<String>> = instances.iter().map(Instance::paths).collect();
    // fio names files after the section, whatever name= says.
    assert_eq!(
        paths,
        [vec!["a.0.0", "a.0.1"], vec!["a.1.0", "a.1.1"], vec!["d/f", "d/g"], vec!["c/0-0"],]
    );
    let mut seeds: Vec<u64> = instances.iter().map(Instance::seed).collect();
    assert_eq!(seeds, Instance::of(&jobs).iter().map(Instance::seed).collect::<Vec<_>>());
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 4);
}
