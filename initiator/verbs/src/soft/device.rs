//! The devices of the fabric: one for those who accept connections, and one for those who make
//! them, which can be removed and come back as another.
//!
//! Whatever is made on a device holds it, so a device that was removed is in use for as long as
//! anything of it is left: that is what a kernel waits for before it lets a driver go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::link::lock;
use super::{CQE_MAX, QP_WR_MAX, RD_ATOM_MAX, SGE_MAX};
use crate::{DeviceInfo, Error};

/// A network card.
pub(super) struct Device {
    pub(super) info: DeviceInfo,
    gone: AtomicBool,
}

impl Device {
    fn new(key: u64, memory_window_2b: bool) -> Arc<Self> {
        let name = if key == 1 { "soft".to_owned() } else { format!("soft{key}") };
        let info = DeviceInfo {
            name,
            key,
            max_qp_wr: QP_WR_MAX,
            max_sge: SGE_MAX,
            max_cqe: CQE_MAX,
            max_rd_atom: RD_ATOM_MAX,
            memory_window_2b,
        };
        Arc::new(Self { info, gone: AtomicBool::new(false) })
    }

    /// An error once it was removed.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.gone.load(Ordering::Acquire) {
            return Err(Error::NoDevice(format!("{} was removed", self.info.name)));
        }
        Ok(())
    }
}

/// All there are.
pub(super) struct Devices {
    accepting: Arc<Device>,
    connecting: Mutex<(u64, Option<Arc<Device>>)>,
}

impl Default for Devices {
    fn default() -> Self {
        let connecting = Mutex::new((1, Some(Device::new(1, true))));
        Self { accepting: Device::new(1, true), connecting }
    }
}

impl Devices {
    /// For those who accept.
    pub(super) fn accepting(&self) -> Arc<Device> {
        Arc::clone(&self.accepting)
    }

    /// For those who connect, if there is one.
    pub(super) fn connecting(&self) -> Option<Arc<Device>> {
        lock(&self.connecting).1.clone()
    }

    /// The device goes.
    pub(super) fn remove(&self) -> Option<RemovedDevice> {
        let device = lock(&self.connecting).1.take()?;
        device.gone.store(true, Ordering::Release);
        Some(RemovedDevice(Arc::downgrade(&device)))
    }

    /// Another comes, if there is none.
    pub(super) fn add(&self, windows: bool) {
        let mut connecting = lock(&self.connecting);
        if connecting.1.is_none() {
            connecting.0 += 1;
            connecting.1 = Some(Device::new(connecting.0, windows));
        }
    }
}

/// A device that was removed.
#[derive(Clone)]
pub struct RemovedDevice(Weak<Device>);

impl RemovedDevice {
    /// Whether anything that was made on it is left: a kernel would wait.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl std::fmt::Debug for RemovedDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemovedDevice").field("in_use", &self.in_use()).finish()
    }
}
