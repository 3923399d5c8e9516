//! Which of a job's files is next (`file_service_type`).

use super::skew::Skewed;
use crate::job::{FileService, Job};
use crate::random::{Purpose, Seeds, Tausworthe};

/// Ranks for each file, so that skew is felt with few files.
const RANKS_BITS: u32 = 10;

/// What is known of each file here.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    open: bool,
    done: bool,
}

/// Gives files in turn.
#[derive(Debug)]
pub(super) struct Files {
    known: Box<[Known]>,
    service: FileService,
    /// Operations on a file before the next.
    run: u32,
    left: u32,
    current: Option<usize>,
    next: usize,
    open_max: usize,
    opened: usize,
    done: usize,
    rng: Tausworthe,
    skew: Option<Skewed>,
}

impl Files {
    pub(super) fn new(job: &Job, files: usize, seeds: &Seeds) -> Self {
        let skew = match job.file_service {
            FileService::Skewed(skew, center) => {
                let ranks = (files as u64) << RANKS_BITS;
                Some(Skewed::new(skew, center, ranks, seeds.of(Purpose::File), false))
            }
            _ => None,
        };
        Files {
            known: vec![Known::default(); files].into(),
            service: job.file_service,
            run: job.file_service_run,
            left: 0,
            current: None,
            next: 0,
            open_max: job.openfiles.map_or(files, |n| n as usize).clamp(1, files.max(1)),
            opened: 0,
            done: 0,
            rng: seeds.stream(Purpose::File),
            skew,
        }
    }

    /// The next file, or `None` when all are done.
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.known.len() == 1 {
            return (!self.known[0].done).then_some(0);
        }
        if self.done == self.known.len() {
            return None;
        }
        if let Some(current) = self.current {
            if self.service == FileService::Sequential {
                return Some(current);
            }
            if self.left > 0 {
                self.left -= 1;
                return Some(current);
            }
        }
        let file = match self.service {
            FileService::RoundRobin | FileService::Sequential => self.round_robin(),
            FileService::Random | FileService::Skewed(..) => self.random(),
        };
        self.current = Some(file);
        self.left = self.run - 1;
        Some(file)
    }

    fn round_robin(&mut self) -> usize {
        loop {
            let file = self.next;
            self.next = (self.next + 1) % self.known.len();
            if self.serves(file) {
                return file;
            }
        }
    }

    fn random(&mut self) -> usize {
        loop {
            let file = match &mut self.skew {
                Some(skew) => (skew.next() >> RANKS_BITS) as usize,
                None => (self.known.len() as f64 * self.rng.unit()) as usize,
            };
            if self.serves(file) {
                return file;
            }
        }
    }

    /// Is there something to do in it, and may it be open?
    fn serves(&mut self, file: usize) -> bool {
        let Known { open, done } = self.known[file];
        if done || (!open && self.opened >= self.open_max) {
            return false;
        }
        if !open {
            self.known[file].open = true;
            self.opened += 1;
        }
        true
    }

    /// There is nothing more to do in a file, for this pass.
    pub(super) fn finish(&mut self, file: usize) {
        self.close(file);
        self.known[file].done = true;
        self.done += 1;
    }

    /// A file begins again from its start.
    pub(super) fn close(&mut self, file: usize) {
        self.current = None;
        if std::mem::take(&mut self.known[file].open) {
            self.opened -= 1;
        }
    }

    /// Files are never done: chosen by chance, they begin again from their start.
    pub(super) fn reuses(&self) -> bool {
        matches!(self.service, FileService::Skewed(..))
    }

    /// Are all done?
    pub(super) fn all_done(&self) -> bool {
        self.done == self.known.len()
    }

    /// A new pass.
    pub(super) fn restart(&mut self, seeds: Option<&Seeds>) {
        self.known.fill(Known::default());
        (self.opened, self.done, self.current) = (0, 0, None);
        if let Some(seeds) = seeds {
            self.rng = seeds.stream(Purpose::File);
            if let Some(skew) = &mut self.skew {
                skew.reset();
            }
        }
    }
}
