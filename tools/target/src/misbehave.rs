//! Faults by order: how the target is told to break the rules.
//!
//! A [`Misbehaviour`] is a plain description, written on the command line as
//! `drop-replies=3,credits=1,status=STALE:READ:2`. [`Switch`] carries it to a running server from
//! any thread. While nothing is ordered a call costs the server one relaxed load.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::PROCEDURES;

/// NFS status codes that can be ordered (RFC 1813 §2.6).
const STATUSES: [(&str, u32); 19] = [
    ("PERM", 1),
    ("NOENT", 2),
    ("IO", 5),
    ("NXIO", 6),
    ("ACCES", 13),
    ("EXIST", 17),
    ("NOTDIR", 20),
    ("ISDIR", 21),
    ("INVAL", 22),
    ("FBIG", 27),
    ("NOSPC", 28),
    ("ROFS", 30),
    ("DQUOT", 69),
    ("STALE", 70),
    ("BADHANDLE", 10001),
    ("BAD_COOKIE", 10003),
    ("NOTSUPP", 10004),
    ("SERVERFAULT", 10006),
    ("JUKEBOX", 10008),
];
/// Most `status=` orders at once.
const STATUS_ORDERS_MAX: usize = 32;

/// An NFS status that the next calls get instead of being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOrder {
    /// The status code.
    pub status: u32,
    /// The procedure, or `None` for any but NULL.
    pub procedure: Option<u32>,
    /// How many calls still get it.
    pub calls: u64,
}

/// Something that happens again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// After so many calls.
    pub calls: u64,
    /// Calls until the next time.
    left: u64,
}

impl Every {
    /// Counts a call; true when it is time.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = if due { self.calls } else { self.left - 1 };
        due
    }
}

macro_rules! orders {
    ($($(#[$doc:meta])* $field:ident = $name:literal),* $(,)?) => {
        /// What to do wrong. A number says how many replies it happens to; the default is to
        /// behave.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Misbehaviour {
            $($(#[$doc])* pub $field: u64,)*
            /// Hold every reply back for so long.
            pub delay_replies_ns: u64,
            /// Grant so many credits in every reply.
            pub credits: Option<u32>,
            /// Close the connection instead of taking the call after so many.
            pub disconnect_after: Option<u64>,
            /// Restart instead of taking a call after so many, again and again: every connection
            /// ends, and unstable data is lost if the target is one that loses it.
            pub restart_every: Option<Every>,
            /// Change the write verifier once, as a restart would.
            pub change_verifier: bool,
            /// Answer with these statuses.
            pub statuses: Vec<StatusOrder>,
        }

        const COUNTED: &[&str] = &[$($name),*];

        impl Misbehaviour {
            fn counted(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $($name => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field)),*].into_iter()
            }
        }
    };
}

orders! {
    /// Say nothing.
    drop_replies = "drop-replies",
    /// Send it twice.
    duplicate_replies = "duplicate-replies",
    /// Answer a call that was never made.
    wrong_xid = "wrong-xid",
    /// Claim RPC-over-RDMA version 2.
    wrong_version = "wrong-version",
    /// Stop in the middle.
    truncate_replies = "truncate-replies",
    /// Send noise of the same length.
    garbage_replies = "garbage-replies",
    /// Return a chunk with another key than the client's.
    foreign_rkey = "foreign-rkey",
    /// Return a chunk at another address than the client's.
    foreign_offset = "foreign-offset",
    /// Return a chunk longer than the client's.
    long_chunk = "long-chunk",
    /// Return a chunk of several segments with the first not full.
    gap_chunk = "gap-chunk",
    /// Return the first two segments of a chunk in the wrong order.
    swap_segments = "swap-segments",
    /// Put the answer to another call behind the header.
    foreign_message = "foreign-message",
    /// Let READ's count differ from the bytes returned by chunk.
    read_count = "read-count",
    /// Answer ERR_CHUNK.
    err_chunk = "err-chunk",
    /// Answer ERR_VERS.
    err_vers = "err-vers",
    /// Place data behind the client's chunk.
    write_outside = "write-outside",
    /// Place data once more after the reply, when the key is no longer valid.
    write_late = "write-late",
    /// Place data by the key of an earlier call.
    write_stale = "write-stale",
    /// Place data into the memory of another client.
    write_elsewhere = "write-elsewhere",
    /// Call the client (RFC 8167), all at once, before the next reply.
    backward_calls = "backward-calls",
    /// Call the client with a chunk.
    backward_chunks = "backward-chunks",
    /// Return half of what READ asked for.
    short_read = "short-read",
    /// Take half of what WRITE brought.
    short_write = "short-write",
}

/// Why a description of misbehaviour was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("misbehave: {at:?}: {why}")]
pub struct ParseError {
    at: String,
    why: String,
}

impl Misbehaviour {
    /// Whether there is anything to do wrong.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Takes one from a count; says whether there was one.
    pub(crate) fn take(count: &mut u64) -> bool {
        let any = *count > 0;
        *count -= u64::from(any);
        any
    }

    /// The status ordered for this call, if any.
    pub(crate) fn take_status(&mut self, procedure: u32) -> Option<u32> {
        let hit = |order: &&mut StatusOrder| match order.procedure {
            Some(wanted) => wanted == procedure,
            None => procedure != 0,
        };
        let order = self.statuses.iter_mut().filter(|order| order.calls > 0).find(hit)?;
        order.calls -= 1;
        let status = order.status;
        self.statuses.retain(|order| order.calls > 0);
        Some(status)
    }

    /// What is still to be done a number of times, by name.
    fn left(&self) -> BTreeMap<&'static str, u64> {
        let mut left: BTreeMap<_, _> = self.counts().collect();
        left.insert("change-verifier", self.change_verifier.into());
        for order in &self.statuses {
            let name = STATUSES.iter().find(|(_, code)| *code == order.status);
            *left.entry(name.map_or("status", |(name, _)| name)).or_default() += order.calls;
        }
        left
    }

    fn set(&mut self, item: &str) -> Result<(), String> {
        let (name, value) = item.split_once('=').map_or((item, None), |(n, v)| (n, Some(v)));
        let needed = |example: &str| value.ok_or(format!("needs a value: {name}={example}"));
        match name {
            "delay-replies" => self.delay_replies_ns = duration_ns(needed("5ms")?)?,
            "credits" => {
                let credits = number(needed("1")?)?;
                let fits = u32::try_from(credits).map_err(|_| "more than 4294967295")?;
                self.credits = Some(fits);
            }
            "disconnect-after" => self.disconnect_after = Some(number(needed("100")?)?),
            "restart-every" => {
                let calls = number(needed("100")?)?;
                if calls == 0 {
                    return Err("it would never take a call".into());
                }
                self.restart_every = Some(Every { calls, left: calls });
            }
            "change-verifier" if value.is_none() => self.change_verifier = true,
            "change-verifier" => return Err("takes no value".into()),
            "status" if self.statuses.len() == STATUS_ORDERS_MAX => {
                return Err(format!("more than {STATUS_ORDERS_MAX} of them"));
            }
            "status" => self.statuses.push(status_order(needed("STALE:READ:3")?)?),
            _ => match self.counted(name) {
                Some(count) => *count = number(needed("1")?)?,
                None => return Err(unknown(name)),
            },
        }
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    let others = "delay-replies credits disconnect-after restart-every change-verifier status";
    format!("{name:?} is not known; there are: {} {others}", COUNTED.join(" "))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// `250ns`, `10us`, `5ms` or `1s`.
fn duration_ns(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ns = match &text[digits..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => {
            return Err(format!("{text:?} is not a duration such as 250ns, 10us, 5ms or 1s"));
        }
    };
    let too_long = || format!("{text:?} is too long");
    number(&text[..digits])?.checked_mul(unit_ns).ok_or_else(too_long)
}

/// `STATUS`, `STATUS:PROCEDURE` or `STATUS:PROCEDURE:CALLS`.
fn status_order(text: &str) -> Result<StatusOrder, String> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let procedure = parts.next().unwrap_or("any");
    let calls = parts.next().map_or(Ok(1), number)?;
    if parts.next().is_some() {
        return Err(format!("{text:?} is not STATUS:PROCEDURE:CALLS"));
    }
    let known = |(known, _): &&(&str, u32)| known.eq_ignore_ascii_case(name);
    let Some((_, status)) = STATUSES.iter().find(known) else {
        let names: Vec<_> = STATUSES.iter().map(|(name, _)| *name).collect();
        return Err(format!("status {name:?} is not one of {}", names.join(" ")));
    };
    let position = PROCEDURES.iter().position(|known| known.eq_ignore_ascii_case(procedure));
    let procedure = match position {
        None if procedure.eq_ignore_ascii_case("any") => None,
        Some(0) => return Err("NULL has no status".into()),
        Some(position) => Some(position as u32),
        None => {
            return Err(format!("procedure {procedure:?} is not \"any\" or one of NFSv3's"));
        }
    };
    Ok(StatusOrder { status: *status, procedure, calls })
}

impl FromStr for Misbehaviour {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut orders = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            orders.set(item).map_err(|why| ParseError { at: item.to_owned(), why })?;
        }
        Ok(orders)
    }
}

/// As it is written on the command line.
impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items: Vec<String> = self
            .counts()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        if self.delay_replies_ns > 0 {
            items.push(format!("delay-replies={}ns", self.delay_replies_ns));
        }
        items.extend(self.credits.map(|credits| format!("credits={credits}")));
        items.extend(self.disconnect_after.map(|calls| format!("disconnect-after={calls}")));
        items.extend(self.restart_every.map(|every| format!("restart-every={}", every.calls)));
        if self.change_verifier {
            items.push("change-verifier".to_owned());
        }
        for order in &self.statuses {
            let status = STATUSES.iter().find(|(_, code)| *code == order.status);
            let status = status.map_or("?", |(name, _)| name);
            let procedure = order.procedure.and_then(|p| PROCEDURES.get(p as usize));
            let procedure = procedure.unwrap_or(&"any");
            items.push(format!("status={status}:{procedure}:{}", order.calls));
        }
        f.write_str(&items.join(","))
    }
}

/// Changes a running server's behaviour, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Switch {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    armed: AtomicBool,
    orders: Mutex<Misbehaviour>,
    /// How often each was followed.
    followed: Mutex<BTreeMap<&'static str, u64>>,
}

impl Switch {
    pub(crate) fn new(orders: Misbehaviour) -> Self {
        let switch = Self::default();
        switch.set(orders);
        switch
    }

    /// Replaces all orders. The server follows from its next call or reply on.
    pub fn set(&self, orders: Misbehaviour) {
        let mut shared = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.armed.store(orders.is_any(), Ordering::Release);
        *shared = orders;
    }

    /// What is still ordered.
    pub fn get(&self) -> Misbehaviour {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the server look at its orders, if there are any.
    #[inline]
    pub(crate) fn consult<T: Default>(&self, look: impl FnOnce(&mut Misbehaviour) -> T) -> T {
        if !self.shared.armed.load(Ordering::Relaxed) {
            return T::default();
        }
        let mut orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let before = orders.clone();
        let result = look(&mut orders);
        self.shared.armed.store(orders.is_any(), Ordering::Release);
        if *orders != before {
            let left = orders.left();
            for (name, had) in before.left() {
                self.count(name, had - left.get(name).copied().unwrap_or(0).min(had));
            }
        }
        result
    }

    /// An order that stands was followed.
    pub(crate) fn count(&self, name: &'static str, times: u64) {
        if times > 0 {
            let mut followed = self.shared.followed.lock().unwrap_or_else(PoisonError::into_inner);
            *followed.entry(name).or_default() += times;
        }
    }

    /// How often each order was followed so far, by its name; `status=` by the status.
    #[must_use]
    pub fn followed(&self) -> BTreeMap<&'static str, u64> {
        self.shared.followed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
#[path = "misbehave_tests.rs"]
mod tests;
