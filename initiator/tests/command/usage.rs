//! The command line itself.

use std::process::Stdio;

use crate::support::{initiator, run};

#[test]
fn help_teaches_every_command_by_example() {
    for line in ["--help", "run --help", "perf --help", "target --help", "hugepages --help"] {
        let help = initiator(line).status(0).stdout();
        assert!(help.contains("Examples:"), "{line}: {help}");
        assert!(help.contains("\n  initiator "), "{line}: {help}");
    }
    let help = initiator("--help").status(0).stdout();
    for taught in ["Exit status", "doctor", "RUST_LOG", "nfs://server/export"] {
        assert!(help.contains(taught), "{taught}: {help}");
    }
    let help = initiator("run --help").status(0).stdout();
    assert!(help.contains("nfs_url=nfs://"), "a job file is shown: {help}");
    assert!(help.contains("--max-requests") && help.contains("[default: 128]"), "{help}");
}

/// Root gives the right up; who is not root has not got it.
#[test]
fn reserved_ports_without_the_right_to_them_are_refused_with_what_would_help() {
    let first = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    if std::fs::read_to_string(first).is_ok_and(|port| port.trim() != "1024") {
        eprintln!("SKIPPED: here everybody may take ports below 1024 ({first})");
        return;
    }
    let mut command = match nix::unistd::geteuid().is_root() {
        true => {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--bounding-set", "-net_bind_service", env!("CARGO_BIN_EXE_initiator")]);
            command
        }
        false => std::process::Command::new(env!("CARGO_BIN_EXE_initiator")),
    };
    command.args(["perf", "nfs://127.0.0.1/x", "--resvport", "--mountport", "1"]);
    command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let says = ["resvport", "root or CAP_NET_BIND_SERVICE", "noresvport does without"];
    run(command).fails(1, &says);
}

#[test]
fn it_tells_its_version() {
    let version = initiator("--version").status(0).stdout();
    assert_eq!(version.trim(), concat!("initiator ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2() {
    for line in [
        "",
        "nonsense",
        "perf --nonsense",
        "run",
        "perf -c x",
        "perf --inline 4x",
        "perf --hugepages maybe",
        "perf --idle nice:99",
        "perf --output-format xml",
        "perf --registration frwr",
        "perf --recovery intr",
        "perf --sec krb5",
        "perf --target-misbehave nonsense=1",
        "hugepages reserve",
        "target",
    ] {
        let error = initiator(line).status(2).stderr();
        assert!(!error.is_empty(), "{line}");
        assert!(!error.contains("panicked"), "{line}: {error}");
    }
}

#[test]
fn a_value_that_makes_no_sense_names_its_flag() {
    for (line, says) in [
        ("perf -b 0", "-b: bs: "),
        ("perf -q 0", "-q: iodepth: 0 is out of range"),
        ("perf -q 1000000", "-q: iodepth: "),
        ("perf -w sideways", "-w: rw: 'sideways'"),
        ("perf -w trim", "NFSv3 has no trim"),
        ("perf --size 1k", "--size: "),
        ("perf --size 0", "--size: "),
        ("perf -b 99999999999t", "-b: bs: "),
        ("perf -t soon", "-t: runtime: "),
        ("perf -j 0", "-j: numjobs: "),
        ("perf --verify md4 -w write", "--verify: "),
        ("perf --rate_process=sometimes", "--rate_process: "),
        ("perf --thinktime", "--thinktime: 'thinktime' needs a value"),
        ("perf --zonemode=zbd", "--zonemode: option 'zonemode' is not supported"),
        ("perf server:/export", "does not begin with nfs://"),
        ("perf nfs:///export", "the host is missing"),
        ("perf nfs://host:0/export", "the port"),
        ("perf --provider soft nfs://127.0.0.1/x", "--provider soft reaches only"),
        ("perf --provider ibv", "--provider ibv needs a URL"),
        ("perf --target-space 1g nfs://127.0.0.1/x", "--target-space is about"),
        ("run --target-core 0 CONF/mixed.fio", "--target-core is about"),
    ] {
        let line = line.replace("CONF", &crate::support::conf("").display().to_string());
        initiator(&line).fails(2, &[says]);
    }
}

#[test]
fn the_doctor_says_what_there_is_and_whether_it_is_enough() {
    let ran = initiator("doctor");
    let (code, said) = (ran.code(), ran.stdout());
    for what in ["cpus", "hugepages", "memlock", "initiator perf"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    // What is missing comes with the command that mends it, and decides the status.
    let missing = said.contains(" MISSING ");
    assert_eq!(code, i32::from(missing), "{said}");
    assert_eq!(said.contains("Jobs can run on RDMA here"), !missing, "{said}");
}
