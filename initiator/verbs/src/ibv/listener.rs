//! The passive endpoint.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rdma_sys::rdma_cm_event_type as event_type;

use super::cm::CmId;
use super::connection::Connection;
use crate::{Error, Incoming};

/// Most events of other kinds skipped in one poll.
const EVENTS_PER_POLL_MAX: usize = 16;

/// Listens on an address; wildcard addresses listen on every device, those that come later too.
pub struct Listener {
    id: CmId,
    local: SocketAddr,
}

impl Listener {
    pub(super) fn bind(local: SocketAddr, backlog: u32) -> Result<Self, Error> {
        let id = CmId::new()?;
        id.listen(local, backlog)?;
        let local = id.local_addr().unwrap_or(local);
        Ok(Self { id, local })
    }
}

impl crate::Listener for Listener {
    type Connection = Connection;

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.id.event_fd())
    }

    fn poll(&mut self) -> Result<Option<Incoming<Connection>>, Error> {
        for _ in 0..EVENTS_PER_POLL_MAX {
            let Some(event) = self.id.next_event()? else { return Ok(None) };
            match event.kind {
                event_type::RDMA_CM_EVENT_CONNECT_REQUEST => {
                    let id = CmId::adopt(event.new_id)?;
                    let connection = Connection::requested(id, event.offered)?;
                    return Ok(Some(Incoming { connection, private_data: event.private_data }));
                }
                event_type::RDMA_CM_EVENT_DEVICE_REMOVAL => {
                    return Err(Error::NoDevice(format!(
                        "the device behind the listener on {} was removed",
                        self.local
                    )));
                }
                other => tracing::debug!(event = other, "ignored on a listener"),
            }
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("local", &self.local).finish()
    }
}
