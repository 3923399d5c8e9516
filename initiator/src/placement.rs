//! Which reactor runs on which core. Pure.

use anyhow::{Result, bail};
use reactor::IdlePolicy;

/// Where everything runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Cores of the job reactors; at least one.
    pub(crate) jobs: Vec<usize>,
    /// Core of the embedded target, if there is one.
    pub(crate) target: Option<usize>,
    /// For all of them.
    pub(crate) idle: IdlePolicy,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// What is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// `--cores`.
    pub(crate) cores: Option<&'a [usize]>,
    /// Job threads that run at the same time.
    pub(crate) threads: usize,
    /// Whether there is an embedded target.
    pub(crate) target: bool,
    /// `--target-core`.
    pub(crate) target_core: Option<usize>,
    /// `--idle`.
    pub(crate) idle: Option<IdlePolicy>,
}

/// Job reactors first, as many as there are job threads; the target on the next core.
pub(crate) fn place(usable: &[usize], wanted: &Wanted<'_>) -> Result<Placement> {
    let asked = wanted.cores.unwrap_or_default().iter().chain(&wanted.target_core);
    if let Some(core) = asked.into_iter().find(|core| !usable.contains(core)) {
        let usable: Vec<String> = usable.iter().map(usize::to_string).collect();
        bail!("core {core} cannot be used: this process may run on cores {}", usable.join(","));
    }
    if usable.is_empty() {
        bail!("there is no core that this process may run on");
    }
    let mut notes = Vec::new();
    let jobs = job_cores(usable, wanted, &mut notes);
    let target = wanted.target.then(|| target_core(usable, wanted, &jobs));
    let shared = target.filter(|core| jobs.contains(core));
    let idle = match (wanted.idle, shared) {
        (None, Some(core)) => {
            notes.push(format!(
                "jobs and target share core {core}: idle reactors yield, and what is measured is both"
            ));
            IdlePolicy::Yield
        }
        (idle, _) => idle.unwrap_or_default(),
    };
    Ok(Placement { jobs, target, idle, notes })
}

fn job_cores(usable: &[usize], wanted: &Wanted<'_>, notes: &mut Vec<String>) -> Vec<usize> {
    let threads = wanted.threads.max(1);
    let Some(asked) = wanted.cores else {
        let kept = usize::from(wanted.target && wanted.target_core.is_none());
        let free = usable.iter().filter(|core| Some(**core) != wanted.target_core);
        let room = usable.len().saturating_sub(kept).max(1);
        let cores: Vec<usize> = free.copied().take(threads.min(room)).collect();
        return if cores.is_empty() { usable[..1].to_vec() } else { cores };
    };
    if asked.len() > threads {
        let idle: Vec<String> = asked[threads..].iter().map(usize::to_string).collect();
        notes.push(format!(
            "{threads} job thread(s), one a core: nothing runs on core(s) {}; raise numjobs",
            idle.join(",")
        ));
    }
    asked.iter().copied().take(threads).collect()
}

fn target_core(usable: &[usize], wanted: &Wanted<'_>, jobs: &[usize]) -> usize {
    let free = usable.iter().copied().find(|core| !jobs.contains(core));
    wanted.target_core.or(free).unwrap_or(jobs[jobs.len() - 1])
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
