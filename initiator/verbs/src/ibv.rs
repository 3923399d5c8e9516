//! The `ibv` provider: libibverbs and librdmacm through `rdma-sys`.
//!
//! Every `unsafe` foreign call of the project lives under this module. It keeps to the classic
//! verbs (`ibv_post_send`, `ibv_post_recv`, `ibv_poll_cq`): `rdma-sys` cannot reach the extended
//! ones on 64-bit machines, and rxe in rdma-core 44 gets them wrong.
//!
//! **Threading.** [`Ibv`] itself may be cloned into any thread. What it makes is `Rc`-linked and
//! stays on its thread. librdmacm opens one device context per process; our threads share it, and
//! the only state they share through us is the list of completion queues in `faults`, which is
//! locked on the control path only.
//!
//! **Ownership.** A [`Connection`] owns the queue pair and holds its [`Domain`] and [`Cq`]; a
//! [`Region`] holds its domain; domains and queues hold the `rdma_cm_id` they were made from,
//! because librdmacm may close the device's context with its last id. So the order queue pair,
//! completion queue, region, domain, id follows from the `Rc` links, whatever is dropped first.
//!
//! **Blocking.** Every id has its own non-blocking event channel, and an event is acknowledged as
//! soon as it is copied, so neither polling nor dropping ever waits for anybody.
//!
//! **Faults survived.** No device, no connection manager, no permission (one line each that says
//! what to do); addresses without a route; peers that refuse, vanish or leave; a completion queue
//! that overflows or a device that goes away (the queue's next poll is an error); values unknown
//! to this build, which become variants that carry them.
//!
//! A removed device is let go with the last connection on it (see `context`), which
//! `rdma link delete` on rxe waits for.

mod addr;
mod chain;
mod channel;
mod cm;
mod connection;
mod context;
mod convert;
mod cq;
mod device;
mod domain;
#[cfg(test)]
mod fake_ops;
mod faults;
mod listener;
mod qp;
mod window;

use std::net::SocketAddr;

pub use connection::Connection;
pub use cq::Cq;
pub use device::{DeviceSummary, PortSummary, devices};
pub use domain::{Domain, Region};
pub use listener::Listener;
pub use window::Window;

use crate::{Error, Provider};

/// The provider on libibverbs and librdmacm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ibv;

impl Provider for Ibv {
    type Connection = Connection;
    type Listener = Listener;
    type Domain = Domain;
    type Cq = Cq;

    fn name(&self) -> &'static str {
        "ibv"
    }

    fn resolve(
        &self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Self::Connection, Error> {
        Connection::resolve(remote, local)
    }

    fn listen(&self, local: SocketAddr, backlog: u32) -> Result<Self::Listener, Error> {
        Listener::bind(local, backlog)
    }

    fn let_go_of_removed(&self) {
        context::sweep();
    }
}

/// The error of the call that has just failed, from `errno`.
fn last_error(call: &'static str) -> Error {
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Error::Os { call, errno }
}

#[cfg(test)]
mod layout_tests;
