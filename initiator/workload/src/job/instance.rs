//! One of a job's `numjobs` instances: its own files, its own random numbers.

use super::{Job, Links};
use crate::random;
use std::sync::Arc;

/// What one [`crate::Runner`] does.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The job it is one of.
    pub job: Arc<Job>,
    /// Its number among the job's instances.
    pub number: u32,
    /// Its number among all instances of the run; its random numbers follow from it.
    pub index: u32,
    /// Which job of the run it is of.
    pub(crate) job_index: usize,
    /// What it tells the others.
    pub(crate) links: Arc<Links>,
}

impl Instance {
    /// All instances of `jobs`, in order.
    pub fn of(jobs: &[Job]) -> Vec<Instance> {
        let mut all = Vec::new();
        let links = Arc::new(Links::new(jobs));
        for (job_index, job) in jobs.iter().enumerate() {
            let job = Arc::new(job.clone());
            for number in 0..job.numjobs {
                let index = all.len() as u32;
                let (job, links) = (job.clone(), links.clone());
                all.push(Instance { job, number, index, job_index, links });
            }
        }
        all
    }

    /// Paths of its files, below the mount.
    pub fn paths(&self) -> Vec<String> {
        let job = &*self.job;
        let names: Vec<String> = match job.filenames.is_empty() {
            false => job.filenames.clone(),
            true => (0..job.nrfiles).map(|file| self.file_name(file)).collect(),
        };
        match &job.directory {
            Some(directory) => {
                let directory = directory.trim_end_matches('/');
                names.iter().map(|name| format!("{directory}/{name}")).collect()
            }
            None => names,
        }
    }

    fn file_name(&self, file: u32) -> String {
        self.job
            .filename_format
            .replace("$jobname", &self.job.section)
            .replace("$jobnum", &self.number.to_string())
            .replace("$filenum", &file.to_string())
    }

    /// fio's number of the thread: random numbers follow from it.
    pub fn thread(&self) -> u32 {
        self.index + 1
    }

    /// Seed of its data: fixed for a run's shape, different for each instance.
    pub fn seed(&self) -> u64 {
        random::mix(self.job.random.seed ^ random::mix(u64::from(self.index) + 1))
    }
}
