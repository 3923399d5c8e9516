//! The way of an operation to the transport: a call on the connection whose turn it is.

use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{Call, Endpoint, Payload, Pieces, Refusal};
use verbs::Provider;
use wire::nfs3::{self, procedure as p};
use wire::rpc::CallTemplate;
use wire::xdr::{Full, Writer};

use super::task::Task;
use super::{Mount, MountState};
use crate::Error;
use crate::links::Links;
use crate::op::Op;
use crate::procedure;
use crate::walk::Walk;

impl Mount {
    /// Makes the call of a task's present step. False: there is no room now.
    ///
    /// The operations that there are most of are told apart once, here: what follows is made for
    /// each of them with what is known of it.
    #[inline]
    pub(super) fn start<P: Provider>(
        &mut self,
        slot: u32,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> bool {
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let task = &mut self.tasks[slot as usize];
        let Task { op, walk, buffer, pieces, .. } = task;
        let mut line = Line { links: &mut self.links, template: &self.template, endpoint, now };
        let called = match op {
            Op::Read { file, offset, len } if buffer.is_some() => {
                let payload = procedure::receive(buffer, *len);
                line.call(p::READ, token, payload, |w| {
                    nfs3::ReadArgs::put(&file.handle, *offset, *len, w)
                })
            }
            Op::Write { file, offset, len, stable } if buffer.is_some() => {
                let payload = procedure::send(buffer, *len);
                line.call(p::WRITE, token, payload, |w| {
                    nfs3::WriteArgs::put(&file.handle, *offset, *len, *stable, w)
                })
            }
            Op::Getattr { file } => {
                line.call(p::GETATTR, token, Payload::None, |w| w.value(&file.handle))
            }
            _ => line.call_any(op, walk, token, (buffer, pieces)),
        };
        match called {
            Ok(()) => true,
            Err((why, payload)) => self.refused(slot, why, payload, endpoint, now),
        }
    }

    /// A connection does not take a call, and gives back what came with it: another one may. True:
    /// that it is on its way or has failed; it waits otherwise.
    #[cold]
    fn refused<P: Provider>(
        &mut self,
        slot: u32,
        mut why: Refusal,
        payload: Payload,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> bool {
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let task = &mut self.tasks[slot as usize];
        task.take_back(payload.into_memory());
        for _ in 1..self.links.len() {
            if matches!(why, Refusal::Invalid(_)) {
                break;
            }
            let Task { op, walk, buffer, pieces, .. } = task;
            let mut line = Line { links: &mut self.links, template: &self.template, endpoint, now };
            match line.call_any(op, walk, token, (buffer, pieces)) {
                Ok(()) => return true,
                Err((another, payload)) => {
                    task.take_back(payload.into_memory());
                    why = another;
                }
            }
        }
        let error = match why {
            Refusal::Busy => {
                self.parked = true;
                return false;
            }
            Refusal::NotConnected => match &self.state {
                MountState::Gone(error) => error.clone(),
                // It is being drained: whoever waits will be told why.
                _ => return false,
            },
            Refusal::Invalid(error) => Error::from(error),
        };
        self.finish_failed(slot, error.into());
        true
    }
}

/// The way of a call to the transport: on the connection whose turn it is.
struct Line<'a, P: Provider> {
    links: &'a mut Links,
    template: &'a CallTemplate,
    endpoint: &'a mut Endpoint<P>,
    now: Timestamp,
}

impl<P: Provider> Line<'_, P> {
    /// Makes a call; or gives its payload back, with the reason.
    #[inline(always)]
    fn call(
        &mut self,
        procedure: u32,
        token: u64,
        payload: Payload,
        args: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), (Refusal, Payload)> {
        let Self { links, template, endpoint, now } = self;
        let mut call = Call { token, payload, reply_max: nfs3::reply_max(procedure) as u32 };
        let called = endpoint.call(links.next(), &mut call, *now, |xid, w| {
            template.write(xid, procedure, w)?;
            args(w)
        });
        match called {
            Ok(()) => {
                // There is nothing in it any more.
                std::mem::forget(call);
                Ok(())
            }
            Err(why) => Err((why, call.payload)),
        }
    }

    /// Makes the call of any operation.
    #[inline(never)]
    fn call_any(
        &mut self,
        op: &Op,
        walk: &Walk,
        token: u64,
        (buffer, pieces): (&mut Option<Buffer>, &mut Option<Pieces>),
    ) -> Result<(), (Refusal, Payload)> {
        let room = buffer.as_ref().map_or(0, |buffer| buffer.len());
        let (procedure, _) = procedure::of(op, walk);
        let payload = procedure::payload(op, buffer, pieces);
        self.call(procedure, token, payload, |w| procedure::encode(op, walk, room, w))
    }
}
