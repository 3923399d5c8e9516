//! Messages to a reactor from other threads: closures it runs between polls.
//!
//! Threading: any thread sends; the reactor takes a bounded batch each turn. A message crosses in
//! one cache line, and a closure of up to 48 bytes lies in it; a larger one is boxed.

mod message;
mod ring;

use std::sync::Arc;

use self::message::Message;
use self::ring::{Receiver, Refused, Sender, ring};
use crate::alarm::Alarm;
use crate::event_loop::Reactor;

/// The sending end of a reactor's mailbox.
#[derive(Clone)]
pub struct Mailbox(Sender<Message, Address>);

/// What senders know of the reactor. It is never written, so they all have it at hand.
pub(crate) struct Address {
    alarm: Arc<Alarm>,
    reactor: String,
}

/// The reactor's end. Dropping it drops what was not taken.
pub(crate) type Inbox = Receiver<Message, Address>;

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
    pub(crate) fn new(capacity: usize, reactor: &str, alarm: Arc<Alarm>) -> (Mailbox, Inbox) {
        let (sender, inbox) = ring(capacity, Address { alarm, reactor: reactor.to_owned() });
        (Mailbox(sender), inbox)
    }

    /// Has the reactor call `message` in one of its next turns. Never blocks. A message that was
    /// taken is run unless the reactor ends first; then it is dropped. One that owns no more than
    /// 48 bytes allocates nothing.
    #[inline]
    pub fn send(
        &self,
        message: impl FnOnce(&mut Reactor) + Send + 'static,
    ) -> Result<(), MailboxError> {
        self.0.send(Message::new(message)).map_err(|refused| self.refusal(refused))?;
        self.0.about().alarm.ring();
        Ok(())
    }

    #[cold]
    fn refusal(&self, refused: Refused) -> MailboxError {
        let reactor = self.0.about().reactor.clone();
        match refused {
            Refused::Full => MailboxError::Full { reactor, capacity: self.0.capacity() },
            Refused::Closed => MailboxError::Closed { reactor },
        }
    }
}

#[cfg(test)]
mod tests;
