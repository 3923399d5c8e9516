//! A process that was given only some of the machine's cores. Alone in its file: it narrows the
//! affinity of the whole process.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use reactor::{IdlePolicy, ReactorConfig, spawn, usable_cores};

#[test]
fn a_core_outside_the_allowed_set_is_refused_though_it_exists() {
    let all = usable_cores();
    let (only, other) = (all[0], all.get(1).copied().unwrap_or(all[0] + 1));
    let mut mask = CpuSet::new();
    mask.set(only).unwrap();
    sched_setaffinity(Pid::this(), &mask).unwrap();
    assert_eq!(usable_cores(), [only]);

    let config = ReactorConfig { idle: IdlePolicy::Yield, ..ReactorConfig::default() };
    let error = spawn(other, config.clone(), |_| Ok(())).err().unwrap();
    let expected = format!("core {other} cannot be used: this process may run on cores {only}");
    assert_eq!(error.to_string(), expected);
    drop(spawn(only, config, |_| Ok(())).unwrap());
}
