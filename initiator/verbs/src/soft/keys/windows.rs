//! Memory windows by key.
//!
//! A key is `WINDOW | index << 8 | the byte that the binder chose`. The table is held for reading
//! while bytes move, so what a bind or an invalidation changes has a lock of its own. Nobody waits
//! for it: only the queue pair that bound a window gets past the first comparison.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{KeyTable, RESTING_MIN};
use crate::{Bind, WindowAccess, WindowHandle};

/// Set in the keys of windows, clear in those of regions.
pub(super) const WINDOW: u32 = 1 << 31;
const INDEX_SHIFT: u32 = 8;
/// Most live windows on a fabric.
const WINDOWS_MAX: usize = 1 << (31 - INDEX_SHIFT);

/// All windows of a fabric.
#[derive(Default)]
pub(super) struct WindowTable {
    entries: Vec<Window>,
    resting: VecDeque<u32>,
}

struct Window {
    live: bool,
    domain: u32,
    /// The key of the last bind posted; that of the last one carried out is in `state`.
    posted_rkey: AtomicU32,
    state: Mutex<State>,
}

struct State {
    rkey: u32,
    bound: Option<Binding>,
}

/// What a window lends, and to whom.
#[derive(Clone, Copy)]
struct Binding {
    qp_num: u32,
    lkey: u32,
    addr: u64,
    len: u32,
    access: WindowAccess,
}

impl WindowTable {
    /// How many windows there are.
    pub(super) fn live(&self) -> usize {
        self.entries.iter().filter(|window| window.live).count()
    }
}

impl KeyTable {
    /// A window that is bound to nothing; `None` when the table is full.
    pub(in crate::soft) fn new_window(&mut self, domain: u32) -> Option<WindowHandle> {
        let table = &mut self.windows;
        let full = table.entries.len() == WINDOWS_MAX;
        if (full && !table.resting.is_empty()) || table.resting.len() > RESTING_MIN {
            let index = table.resting.pop_front()? as usize;
            let window = &mut table.entries[index];
            window.live = true;
            window.domain = domain;
            return Some(WindowHandle(index));
        }
        if full {
            return None;
        }
        let index = table.entries.len();
        let rkey = WINDOW | (index as u32) << INDEX_SHIFT;
        let state = Mutex::new(State { rkey, bound: None });
        let posted_rkey = AtomicU32::new(rkey);
        table.entries.push(Window { live: true, domain, posted_rkey, state });
        Some(WindowHandle(index))
    }

    /// Ends a window and, if it is bound, its key. The next owner goes on with its keys where this
    /// one stopped.
    pub(in crate::soft) fn drop_window(&mut self, handle: WindowHandle) {
        let Some(window) = self.windows.entries.get_mut(handle.0).filter(|window| window.live)
        else {
            return;
        };
        window.live = false;
        let state = window.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.bound = None;
        *window.posted_rkey.get_mut() = state.rkey;
        self.windows.resting.push_back(handle.0 as u32);
    }

    pub(in crate::soft) fn window_rkey(&self, handle: WindowHandle) -> u32 {
        let window = self.windows.entries.get(handle.0);
        window.map_or(0, |window| window.posted_rkey.load(Ordering::Relaxed))
    }

    /// A bind under `rkey` is on its way.
    pub(in crate::soft) fn bind_posted(&self, handle: WindowHandle, rkey: u32) {
        if let Some(window) = self.windows.entries.get(handle.0) {
            window.posted_rkey.store(rkey, Ordering::Relaxed);
        }
    }

    /// Binds a window on a queue pair; false: not allowed, and nothing changed.
    pub(in crate::soft) fn bind(&self, qp_num: u32, domain: u32, bind: &Bind) -> bool {
        let Some(window) = self.windows.entries.get(bind.window.0) else { return false };
        let mut state = window.state();
        let free = window.live && window.domain == domain && state.bound.is_none();
        let advances = state.rkey != bind.new_rkey
            && state.rkey >> INDEX_SHIFT == bind.new_rkey >> INDEX_SHIFT;
        let Ok(lkey) = u32::try_from(bind.region.0) else { return false };
        if !free || !advances || bind.length == 0 || !self.binds_to(domain, lkey, bind) {
            return false;
        }
        let Bind { addr, length: len, access, .. } = *bind;
        state.rkey = bind.new_rkey;
        state.bound = Some(Binding { qp_num, lkey, addr, len, access });
        true
    }

    fn binds_to(&self, domain: u32, lkey: u32, bind: &Bind) -> bool {
        self.find(lkey).is_some_and(|region| {
            region.domain == domain
                && region.access.bind
                && (!bind.access.remote_write || region.access.local_write)
                && region.covers(bind.addr, u64::from(bind.length))
        })
    }

    /// Ends the key of a window that is bound on this queue pair; false: it is not.
    pub(in crate::soft) fn invalidate_window(&self, qp_num: u32, rkey: u32) -> bool {
        self.window(rkey).is_some_and(|window| {
            let mut state = window.state();
            let bound = state.rkey == rkey && state.bound_to(qp_num).is_some();
            if bound {
                state.bound = None;
            }
            bound
        })
    }

    /// Whether the peer of a queue pair may reach `len` bytes at `addr` through a window.
    pub(super) fn allows_window(
        &self,
        qp_num: u32,
        rkey: u32,
        addr: u64,
        len: u32,
        write: bool,
    ) -> bool {
        let Some(window) = self.window(rkey) else { return false };
        let state = window.state();
        let Some(binding) = state.bound_to(qp_num).filter(|_| state.rkey == rkey) else {
            return false;
        };
        let granted = if write { binding.access.remote_write } else { binding.access.remote_read };
        let inside = addr
            .checked_sub(binding.addr)
            .and_then(|offset| offset.checked_add(u64::from(len)))
            .is_some_and(|end| end <= u64::from(binding.len));
        granted && inside && self.find(binding.lkey).is_some()
    }

    fn window(&self, rkey: u32) -> Option<&Window> {
        let index = (rkey & !WINDOW) >> INDEX_SHIFT;
        let window = self.windows.entries.get(index as usize)?;
        (rkey & WINDOW != 0 && window.live).then_some(window)
    }
}

impl Window {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bound_to(&self, qp_num: u32) -> Option<&Binding> {
        self.bound.as_ref().filter(|binding| binding.qp_num == qp_num)
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
