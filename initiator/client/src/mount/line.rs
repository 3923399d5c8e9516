//! The way of an operation to the transport: a call on the connection whose turn it is.

use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{Call, Endpoint, Payload, Pieces, PlainCall, PlainMessage, PlainPayload, Refusal};
use verbs::Provider;
use wire::nfs3::{self, procedure as p};
use wire::rpc::CallTemplate;

use super::task::Task;
use super::{Limits, Mount, MountState};
use crate::Error;
use crate::links::Links;
use crate::op::{File, Op};
use crate::procedure;
use crate::walk::Walk;

impl Mount {
    /// Makes the call of a task's present step. False: there is no room now.
    pub(crate) fn start<P: Provider>(
        &mut self,
        slot: u32,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> bool {
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let task = &mut self.tasks[slot as usize];
        let mut line = Line { links: &mut self.links, template: &self.template, endpoint, now };
        line.call_usual(task, token, &self.limits) || self.start_any(slot, endpoint, now)
    }

    /// The same for any operation.
    #[inline(never)]
    pub(super) fn start_any<P: Provider>(
        &mut self,
        slot: u32,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> bool {
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let Task { op, walk, buffer, pieces, .. } = &mut self.tasks[slot as usize];
        let mut line = Line { links: &mut self.links, template: &self.template, endpoint, now };
        match line.call_any(op, walk, token, (buffer, pieces)) {
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

/// A call with a file and words for arguments.
struct Message<'a, const N: usize> {
    template: &'a CallTemplate,
    procedure: u32,
    file: &'a File,
    words: [u32; N],
}

impl<const N: usize> PlainMessage for Message<'_, N> {
    #[inline(always)]
    fn put(self, xid: u32, out: &mut [u8]) -> Option<usize> {
        let Self { template, procedure, file, words } = self;
        nfs3::put_call(template, xid, procedure, &file.handle, words, out)
    }
}

/// The way of a call to the transport: on the connection whose turn it is.
pub(super) struct Line<'a, P: Provider> {
    pub(super) links: &'a mut Links,
    pub(super) template: &'a CallTemplate,
    pub(super) endpoint: &'a mut Endpoint<P>,
    pub(super) now: Timestamp,
}

impl<P: Provider> Line<'_, P> {
    /// Makes the call of a task, if it is of a kind that there are most of, READ and WRITE of one
    /// buffer and GETATTR, and nothing is special about it.
    ///
    /// The kinds are told apart once, here: what follows is made for each of them with what is
    /// known of it.
    #[inline(always)]
    pub(super) fn call_usual(&mut self, task: &mut Task, token: u64, limits: &Limits) -> bool {
        let Task { op, buffer, pieces, .. } = task;
        match op {
            Op::Read { file, offset, len } if *len <= limits.rtmax && pieces.is_none() => {
                let words = nfs3::ReadArgs::words(*offset, *len);
                let payload = PlainPayload::Receive;
                self.plain((token, p::READ), file, words, (payload, buffer, *len))
            }
            Op::Write { file, offset, len, stable } if *len <= limits.wtmax && pieces.is_none() => {
                let words = nfs3::WriteArgs::words(*offset, *len, *stable);
                let payload = PlainPayload::Send;
                self.plain((token, p::WRITE), file, words, (payload, buffer, *len))
            }
            Op::Getattr { file } => {
                self.plain((token, p::GETATTR), file, [], (PlainPayload::None, buffer, 0))
            }
            _ => false,
        }
    }

    /// Makes a call with a file and words for arguments, if nothing is special about it.
    #[inline(always)]
    fn plain<const N: usize>(
        &mut self,
        (token, procedure): (u64, u32),
        file: &File,
        words: [u32; N],
        (payload, buffer, len): (PlainPayload, &mut Option<Buffer>, u32),
    ) -> bool {
        let Self { links, template, endpoint, now } = self;
        let reply_max = nfs3::reply_max(procedure) as u32;
        let call = PlainCall { token, payload, len, reply_max };
        let rpc = Message { template, procedure, file, words };
        let taken = endpoint.call_plain(links.next(), call, buffer, *now, rpc);
        if taken {
            links.advance();
        }
        taken
    }

    /// Makes the call of any operation; or gives its payload back, with the reason.
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
        let Self { links, template, endpoint, now } = self;
        let mut call = Call { token, payload, reply_max: nfs3::reply_max(procedure) as u32 };
        let id = links.next();
        links.advance();
        let called = endpoint.call(id, &mut call, *now, |xid, w| {
            template.write(xid, procedure, w)?;
            procedure::encode(op, walk, room, w)
        });
        called.map_err(|why| (why, call.payload))
    }
}
