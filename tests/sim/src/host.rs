//! The reactor that an actor lives on, and the other thread that gives it its orders.
//!
//! Orders go through the reactor's mailbox, which holds few messages: what finds it full is sent
//! again later, as a command line's thread would do. Each must arrive once, and in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use reactor::{Mailbox, MailboxError, Poller, Progress, Reactor, ReactorConfig, Timestamp, Turn};
use rpcrdma::State;

use crate::actor::{Actor, Order, Orders, Phase};
use crate::faults::Victim;
use crate::finding::{Checker, Finding};
use crate::shape::MountShape;

/// How long a reactor that was asked to stop may drain.
const GRACE: Duration = Duration::from_secs(1);

/// One reactor with its actor.
pub struct Host {
    reactor: Reactor,
    mailbox: Mailbox,
    orders: Orders,
    /// Orders that the mailbox has yet to take, with their numbers.
    unsent: VecDeque<(u64, Order)>,
    given: u64,
    /// Times that the mailbox was full.
    pub mailbox_full: u64,
    actor: Rc<RefCell<Actor>>,
    found: Rc<RefCell<Option<Finding>>>,
    /// Turns that it missed.
    pub missed: u64,
    /// It does not turn before then.
    pub frozen_until_ns: u64,
}

impl Host {
    /// A reactor on which the actor that `make` makes is a poller.
    pub fn new(
        shape: &MountShape,
        make: impl FnOnce(Orders) -> Result<Actor, Finding>,
    ) -> Result<Self, Finding> {
        let config = ReactorConfig {
            shutdown_grace: GRACE,
            mailbox_capacity: shape.mailbox.0,
            mailbox_batch: shape.mailbox.1,
            max_pollers: 2,
            max_tasks: 2,
            max_timers: 2,
            ..ReactorConfig::default()
        };
        let broken = |error: reactor::ReactorError| Checker::Results.says(error.to_string());
        let mut reactor = Reactor::new("simulated", config).map_err(broken)?;
        let orders = Orders::default();
        let actor = Rc::new(RefCell::new(make(Arc::clone(&orders))?));
        let found = Rc::default();
        let poller = ActorPoller { actor: Rc::clone(&actor), found: Rc::clone(&found) };
        reactor.add_poller(poller).map_err(broken)?;
        let (mailbox, unsent) = (reactor.mailbox(), VecDeque::new());
        let (given, mailbox_full, missed, frozen_until_ns) = (0, 0, 0, 0);
        Ok(Self {
            reactor,
            mailbox,
            orders,
            unsent,
            given,
            mailbox_full,
            actor,
            found,
            missed,
            frozen_until_ns,
        })
    }

    /// Gives an order.
    pub fn order(&mut self, order: Order) {
        self.unsent.push_back((self.given, order));
        self.given += 1;
    }

    /// Whether orders are still on their way.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The other thread, once: sends what the mailbox takes.
    pub fn send(&mut self) -> Result<(), Finding> {
        while let Some(&numbered) = self.unsent.front() {
            let orders = Arc::clone(&self.orders);
            let message = move |_: &mut Reactor| {
                orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(numbered);
            };
            match self.mailbox.send(message) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(MailboxError::Full { .. }) => {
                    self.mailbox_full += 1;
                    return Ok(());
                }
                Err(error) => return Err(Checker::Results.says(error.to_string())),
            }
        }
        Ok(())
    }

    /// One turn of the reactor. Says whether anything happened.
    pub fn turn(&mut self, now: Timestamp) -> Result<bool, Finding> {
        let progress = self.reactor.turn(now);
        match self.found.take() {
            Some(finding) => Err(finding),
            None => Ok(progress == Progress::Busy),
        }
    }

    /// Stops the reactor, whose actor has left: it has nothing to wait for.
    pub fn stop(&mut self, now: Timestamp) -> Result<(), Finding> {
        self.reactor.request_stop();
        let turns = [now, now.add_ns(1)];
        match turns.into_iter().any(|now| self.reactor.turn(now) == Progress::Done) {
            true => Ok(()),
            false => Err(Checker::Liveness.says("the reactor does not stop")),
        }
    }

    /// The actor, between turns.
    pub fn actor<T>(&self, look: impl FnOnce(&Actor) -> T) -> T {
        look(&self.actor.borrow())
    }

    /// The actor, to be changed.
    pub fn actor_mut<T>(&self, change: impl FnOnce(&mut Actor) -> T) -> T {
        change(&mut self.actor.borrow_mut())
    }
}

impl Victim for Host {
    fn qp_nums(&self) -> Vec<u32> {
        self.actor(Actor::qp_nums)
    }

    fn states(&self) -> Vec<State> {
        self.actor(Actor::states)
    }

    fn freeze(&mut self, until_ns: u64) {
        self.frozen_until_ns = until_ns;
    }
}

struct ActorPoller {
    actor: Rc<RefCell<Actor>>,
    found: Rc<RefCell<Option<Finding>>>,
}

impl Poller for ActorPoller {
    fn name(&self) -> &str {
        "actor"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        match self.actor.borrow_mut().turn(turn.now(), turn.local()) {
            Ok(true) => Progress::Busy,
            Ok(false) => Progress::Idle,
            Err(finding) => {
                self.found.replace(Some(finding));
                Progress::Done
            }
        }
    }

    fn drained(&self) -> bool {
        self.actor.borrow().phase() == Phase::Gone
    }
}
