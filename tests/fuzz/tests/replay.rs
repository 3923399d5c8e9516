//! Everything that was ever worth keeping, once more.

#![forbid(unsafe_code)]

use fuzz::{TARGETS, corpus_path, parse_corpus, seeds};

fn replay(name: &str) {
    let target = fuzz::find(name).expect("a target");
    let path = corpus_path(name);
    let text = std::fs::read_to_string(&path).expect("a corpus");
    let kept = parse_corpus(&text).expect("hexadecimal");
    assert!(!kept.is_empty(), "{} is empty", path.display());
    for (number, input) in kept.iter().chain(&seeds::of(name)).enumerate() {
        let ran = std::panic::catch_unwind(|| (target.run)(input));
        assert!(ran.is_ok(), "input {number} of {name}: {input:02x?}");
    }
}

macro_rules! replays {
    ($($test:ident = $name:literal,)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

replays! {
    header = "header",
    rpc = "rpc",
    nfs_results = "nfs-results",
    nfs_args = "nfs-args",
    mount = "mount",
    rpcbind = "rpcbind",
    private_data = "private-data",
    job_file = "job-file",
    config = "config",
    orders = "orders",
    url = "url",
    ring = "ring",
    backward_call = "backward-call",
    server = "server",
}
