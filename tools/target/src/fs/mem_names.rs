//! The names in one directory of [`MemFs`](super::MemFs): found by name, listed by cookie.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Cookies of `.` and `..`; entries count on from there and none is given twice, so a listing
/// goes on correctly whatever changes meanwhile.
pub(super) const COOKIE_SELF: u64 = 1;
pub(super) const COOKIE_PARENT: u64 = 2;

#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<Box<[u8]>, Link>,
    by_cookie: BTreeMap<u64, Box<[u8]>>,
    next_cookie: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    id: u64,
    cookie: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        let (by_name, by_cookie) = (HashMap::new(), BTreeMap::new());
        Self { by_name, by_cookie, next_cookie: COOKIE_PARENT + 1 }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<u64> {
        self.by_name.get(name).map(|link| link.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn insert(&mut self, name: &[u8], id: u64) {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.by_name.insert(name.into(), Link { id, cookie });
        self.by_cookie.insert(cookie, name.into());
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<u64> {
        let link = self.by_name.remove(name)?;
        self.by_cookie.remove(&link.cookie);
        Some(link.id)
    }

    /// The entry that follows `cookie`: its own cookie, name and object.
    pub(super) fn after(&self, cookie: u64) -> Option<(u64, &[u8], u64)> {
        let rest = (Bound::Excluded(cookie), Bound::Unbounded);
        let (&at, name) = self.by_cookie.range(rest).next()?;
        Some((at, name, self.by_name.get(name)?.id))
    }
}
