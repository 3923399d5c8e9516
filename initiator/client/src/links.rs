//! The connections of one mount: whose turn it is, and what becomes of them together.
//!
//! Calls go round them (`nconnect` in nfs(5)). One that is lost is passed over until it is back; the
//! mount is up when all have been, and gone when all are.

use rpcrdma::{ConnectionId, Counters};

/// One connection.
#[derive(Debug)]
struct Link {
    id: ConnectionId,
    /// It has been established once.
    was_up: bool,
    /// What it had done when it ended.
    ended: Option<Counters>,
}

/// All of a mount's; at least one.
#[derive(Debug)]
pub(crate) struct Links {
    list: Vec<Link>,
    /// The one whose turn it is, and its place in the list.
    next: ConnectionId,
    at: usize,
}

impl Links {
    pub(crate) fn new(first: ConnectionId, others: impl IntoIterator<Item = ConnectionId>) -> Self {
        let link = |id| Link { id, was_up: false, ended: None };
        let ids = std::iter::once(first).chain(others);
        Self { list: ids.map(link).collect(), next: first, at: 0 }
    }

    /// Each in its order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.list.iter().map(|link| link.id)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The one whose turn it is.
    #[inline]
    pub(crate) fn next(&self) -> ConnectionId {
        self.next
    }

    /// It has had it.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if self.list.len() > 1 {
            self.at = (self.at + 1) % self.list.len();
            self.next = self.list[self.at].id;
        }
    }

    /// It is established. True: now all have been.
    pub(crate) fn established(&mut self, id: ConnectionId) -> bool {
        self.get(id).is_some_and(|link| !std::mem::replace(&mut link.was_up, true))
            && self.list.iter().all(|link| link.was_up)
    }

    /// It is gone for good. True: now all are.
    pub(crate) fn ended(&mut self, id: ConnectionId, counters: Counters) -> bool {
        if let Some(link) = self.get(id) {
            link.ended = Some(counters);
        }
        self.all_ended()
    }

    /// None is left, nor anything that one held.
    pub(crate) fn all_ended(&self) -> bool {
        self.list.iter().all(|link| link.ended.is_some())
    }

    /// What each has done, by the transport's word or, when it is gone, by its last.
    pub(crate) fn counters<'a>(
        &'a self,
        of: impl Fn(ConnectionId) -> Option<&'a Counters>,
    ) -> impl Iterator<Item = Counters> {
        self.list.iter().filter_map(move |link| of(link.id).or(link.ended.as_ref()).copied())
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.list.iter_mut().find(|link| link.id == id)
    }
}
