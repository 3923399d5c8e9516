//! Names come and go: each change must have happened exactly once.

use client::{Error, Output};
use wire::nfs3::Status;

use super::Actor;
use super::ops::Pending;
use crate::finding::{Checker, Finding};
use crate::model::Name;

impl Actor {
    /// Names are claimed when the operation is begun; bytes were when it was drawn.
    pub(super) fn claim_names(&mut self, pending: &Pending) {
        match pending {
            Pending::List => self.names.iter_mut().for_each(|(_, busy)| *busy = true),
            _ => {
                if let Some(name) = name_of(pending) {
                    self.names[name].1 = true;
                }
            }
        }
    }

    /// Holds the answer to an operation on a name against the model.
    pub(super) fn judge_name(
        &mut self,
        pending: &Pending,
        result: &Result<Output, Error>,
    ) -> Result<(), Finding> {
        let Some(name) = name_of(pending) else { return Ok(()) };
        let before = self.names[name].0;
        let status = match result {
            Ok(_) => None,
            Err(Error::Nfs { status, .. }) => Some(*status),
            // Whether it ran nobody knows, unless it changes nothing.
            Err(_) => {
                let known = matches!(pending, Pending::Lookup { .. });
                self.names[name] = (if known { before } else { Name::Unknown }, false);
                return Ok(());
            }
        };
        let again = self.may_have_run_twice(pending);
        let after = match (pending, before, result, status) {
            (
                Pending::Lookup { .. },
                Name::Present(file),
                Ok(Output::Opened { file: found, .. }),
                _,
            ) => {
                if file != *found {
                    return Err(Checker::Contents.says("another file than was made"));
                }
                before
            }
            (Pending::Lookup { .. }, Name::Absent, _, Some(Status::NoEnt)) => before,
            (Pending::Create { .. }, Name::Absent, Ok(Output::Opened { file, .. }), _) => {
                Name::Present(*file)
            }
            (Pending::Create { .. }, Name::Present(_), _, Some(Status::Exist)) => before,
            (Pending::Remove { .. }, Name::Present(_), Ok(_), _) => Name::Absent,
            (Pending::Remove { .. }, Name::Absent, _, Some(Status::NoEnt)) => before,
            // Sent twice to a server that does not remember the first time.
            (Pending::Create { .. }, Name::Absent, _, Some(Status::Exist)) if again => {
                Name::Unknown
            }
            (Pending::Remove { .. }, Name::Present(_), _, Some(Status::NoEnt)) if again => {
                Name::Absent
            }
            (_, _, _, Some(_)) if self.allowed.errors => Name::Unknown,
            (Pending::Create { .. }, Name::Absent, _, Some(Status::Exist))
            | (Pending::Remove { .. }, Name::Present(_), _, Some(Status::NoEnt)) => {
                return Err(Checker::Once.says("it was carried out twice"));
            }
            _ => return Err(Checker::Contents.says(format!("the name was {before:?}"))),
        };
        self.names[name] = (after, false);
        Ok(())
    }

    fn may_have_run_twice(&self, pending: &Pending) -> bool {
        let now = self.counters().retransmissions;
        match pending {
            Pending::Create { retransmissions, .. } | Pending::Remove { retransmissions, .. } => {
                self.allowed.repeated && now != *retransmissions
            }
            _ => false,
        }
    }
}

fn name_of(pending: &Pending) -> Option<usize> {
    match pending {
        Pending::Lookup { name } | Pending::Create { name, .. } | Pending::Remove { name, .. } => {
            Some(*name)
        }
        _ => None,
    }
}
