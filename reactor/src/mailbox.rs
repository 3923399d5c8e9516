//! Messages to a reactor from other threads: closures it runs between polls.
//!
//! Threading: any thread sends; the reactor takes a bounded batch each turn. This is the control
//! plane. It allocates a box per message: never send one per I/O.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::event_loop::Reactor;
use crate::monitor::Monitor;

pub(crate) type Message = Box<dyn FnOnce(&mut Reactor) + Send>;

/// The sending end of a reactor's mailbox.
#[derive(Clone)]
pub struct Mailbox {
    sender: Sender<Message>,
    monitor: Arc<Monitor>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// The reactor is not keeping up.
    #[error("the mailbox of {reactor} is full ({capacity} messages wait); try again later")]
    Full {
        /// The reactor's name.
        reactor: String,
        /// [`ReactorConfig::mailbox_capacity`](crate::ReactorConfig).
        capacity: usize,
    },
    /// The reactor has ended.
    #[error("{reactor} has ended and takes no more messages")]
    Closed {
        /// The reactor's name.
        reactor: String,
    },
}

impl Mailbox {
    pub(crate) fn new(capacity: usize, monitor: Arc<Monitor>) -> (Mailbox, Receiver<Message>) {
        let (sender, receiver) = bounded(capacity);
        (Mailbox { sender, monitor }, receiver)
    }

    /// Has the reactor call `message` in one of its next turns. Never blocks. A message that was
    /// taken is run unless the reactor ends first; then it is dropped.
    pub fn send(
        &self,
        message: impl FnOnce(&mut Reactor) + Send + 'static,
    ) -> Result<(), MailboxError> {
        let reactor = || self.monitor.name().to_owned();
        self.sender.try_send(Box::new(message)).map_err(|refused| match refused {
            TrySendError::Full(_) => MailboxError::Full {
                reactor: reactor(),
                capacity: self.sender.capacity().unwrap_or(0),
            },
            TrySendError::Disconnected(_) => MailboxError::Closed { reactor: reactor() },
        })?;
        self.monitor.alarm().ring();
        Ok(())
    }
}
