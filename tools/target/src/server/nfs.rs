//! The NFS version 3 program: from the bytes of a call to the bytes of its reply.
//!
//! Knows no transport: it is told where the reply goes and, when the client takes READ's data
//! apart from the reply, where that goes. READ and WRITE allocate nothing.

use std::sync::Arc;

use wire::nfs3::{self, Failed, ReadArgs, ReadOk, ReadRes, StableHow, Status, WriteArgs, WriteOk};
use wire::nfs3::{FileHandle, procedure};
use wire::rpc::{self, CallHeader, RpcError, auth_stat, flavor};
use wire::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer, pad};

use super::nfs_types::{failed, fattr, from_wire, status_of, wcc};
use super::replies::{Caller, Key, Replies};
use crate::fs::{AnyFs, FileSystem, Handle};
use crate::misbehave::{Misbehaviour, Switch};
use crate::stats::Stats;

/// Where a reply goes.
pub(super) struct Room<'a> {
    /// The RPC message.
    pub(super) message: &'a mut [u8],
    /// READ's data, if it is not part of the message.
    pub(super) payload: Option<&'a mut [u8]>,
}

/// How much of the room was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) message: usize,
    pub(super) payload: usize,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It does not fit where the client wants it.
    NoRoom,
    /// The client offers less room for data than it asks for.
    PayloadTooShort,
    /// The message is no call.
    NoCall,
}

impl From<Full> for Unanswered {
    fn from(_: Full) -> Self {
        Self::NoRoom
    }
}

/// What is ordered for one call.
#[derive(Default)]
struct Orders {
    status: Option<u32>,
    short_read: bool,
    short_write: bool,
    read_count: bool,
}

/// See the module documentation.
pub(super) struct Nfs {
    pub(super) fs: AnyFs,
    pub(super) stats: Arc<Stats>,
    pub(super) switch: Switch,
    pub(super) payload_bytes_max: u32,
    /// Changes when unstable data may have been lost.
    pub(super) verifier: u64,
    /// Where directory entries are put together.
    pub(super) entries: Vec<u8>,
    /// What calls were answered that must not be carried out twice, unless that is switched off.
    pub(super) replies: Option<Replies>,
    /// RPC messages of calls as they came, if somebody wants to see them.
    pub(super) recorded: Option<Recorded>,
}

/// RPC messages of calls, as many as are asked for.
pub(super) struct Recorded {
    pub(super) calls: Vec<Vec<u8>>,
    pub(super) calls_max: usize,
}

/// Bytes of a READ reply in front of the data.
const READ_PREFIX: usize = nfs3::reply_max(procedure::READ);
/// Preferred and largest directory listing.
pub(super) const LISTING_BYTES_MAX: usize = 64 << 10;

impl Nfs {
    /// Carries out `call` and writes the reply.
    pub(super) fn answer(
        &mut self,
        call: &[u8],
        xid: u32,
        mut room: Room<'_>,
        caller: &Caller,
    ) -> Result<Answer, Unanswered> {
        if let Some(Recorded { calls, calls_max }) = &mut self.recorded
            && calls.len() < *calls_max
        {
            calls.push(call.to_vec());
        }
        let mut args = Reader::new(call);
        let header = CallHeader::decode(&mut args).map_err(|_| Unanswered::NoCall)?;
        if header.xid != xid {
            return Err(Unanswered::NoCall);
        }
        match self.accepted(&header, args, &mut room, caller) {
            Ok(answer) => Ok(answer),
            Err(Failure::Unanswered(unanswered)) => Err(unanswered),
            Err(Failure::Rpc(error)) => {
                self.stats.rpc_errors.add(1);
                let mut w = Writer::new(room.message);
                w.value(&rpc::Reply::error(xid, error))?;
                Ok(Answer { message: w.position(), payload: 0 })
            }
        }
    }

    fn accepted(
        &mut self,
        header: &CallHeader<'_>,
        args: Reader<'_>,
        room: &mut Room<'_>,
        caller: &Caller,
    ) -> Result<Answer, Failure> {
        check_header(header)?;
        if let Some(count) = self.stats.calls.get(header.procedure as usize) {
            count.add(1);
        }
        let key = self.key_of(header, args, caller)?;
        // Before any order: what was carried out is not to be refused now.
        if let Some(reply) = key.and_then(|key| self.replies.as_ref()?.get(&key)) {
            let mut w = Writer::new(room.message);
            w.put(reply)?;
            self.stats.calls_repeated.add(1);
            return Ok(Answer { message: w.position(), payload: 0 });
        }
        let orders = self.orders(header.procedure);
        if let Some(status) = orders.status {
            return self.ordered_status(header, status, room);
        }
        match header.procedure {
            procedure::READ => self.read(header.xid, args, room, &orders),
            procedure::WRITE => self.write(header.xid, args, room, &orders),
            _ => {
                let answer = self.other(header, args, room)?;
                if let (Some(key), Some(replies)) = (key, &mut self.replies) {
                    replies.keep(key, &room.message[..answer.message], caller.now);
                }
                Ok(answer)
            }
        }
    }

    /// By what a call is known when it comes again; `None` for one that may be carried out again.
    fn key_of(
        &self,
        header: &CallHeader<'_>,
        args: Reader<'_>,
        caller: &Caller,
    ) -> Result<Option<Key>, Failure> {
        if self.replies.is_none() {
            return Ok(None);
        }
        let bytes = { args }.take(args.remaining())?;
        Ok(Key::new(header, bytes, caller))
    }

    /// What was not durable is lost, and the verifier says so.
    pub(super) fn crash(&mut self) {
        self.fs.crash();
        self.verifier = self.verifier.wrapping_add(1);
        self.replies.iter_mut().for_each(Replies::clear);
    }

    fn orders(&mut self, procedure: u32) -> Orders {
        let (orders, new_verifier) = self.switch.consult(|all| {
            let read = procedure == procedure::READ;
            let orders = Orders {
                status: all.take_status(procedure),
                short_read: read && Misbehaviour::take(&mut all.short_read),
                read_count: read && Misbehaviour::take(&mut all.read_count),
                short_write: procedure == procedure::WRITE
                    && Misbehaviour::take(&mut all.short_write),
            };
            (orders, std::mem::take(&mut all.change_verifier))
        });
        self.verifier = self.verifier.wrapping_add(u64::from(new_verifier));
        let count = [orders.short_read, orders.read_count, orders.short_write, new_verifier];
        let count = count.iter().filter(|ordered| **ordered).count();
        self.stats.misbehaved.add(count as u64 + u64::from(orders.status.is_some()));
        orders
    }

    /// A status without attributes, in the shape of each procedure's failures.
    fn ordered_status(
        &self,
        header: &CallHeader<'_>,
        status: u32,
        room: &mut Room<'_>,
    ) -> Result<Answer, Failure> {
        use procedure as p;
        let absent = match header.procedure {
            p::GETATTR => 0,
            p::LOOKUP | p::ACCESS | p::READ | p::READDIRPLUS | p::FSSTAT | p::FSINFO => 1,
            p::SETATTR | p::WRITE | p::CREATE | p::MKDIR | p::REMOVE | p::RMDIR | p::COMMIT => 2,
            _ => return Err(RpcError::ProcUnavail.into()),
        };
        let mut w = begin(header.xid, room)?;
        w.u32(status)?;
        (0..absent).try_for_each(|_| w.bool(false))?;
        self.stats.nfs_errors.add(1);
        Ok(Answer { message: w.position(), payload: 0 })
    }

    fn read(
        &mut self,
        xid: u32,
        args: Reader<'_>,
        room: &mut Room<'_>,
        orders: &Orders,
    ) -> Result<Answer, Failure> {
        let args: ReadArgs = decode(args)?;
        let Room { message, payload } = room;
        let reduced = payload.is_some();
        let mut wanted = args.count.min(self.payload_bytes_max) as usize;
        let place = match payload {
            Some(payload) => {
                let fits = payload.get_mut(..wanted);
                fits.ok_or(Failure::Unanswered(Unanswered::PayloadTooShort))?
            }
            None => {
                let end = READ_PREFIX + wanted + pad(wanted);
                let place = message.get_mut(READ_PREFIX..end);
                let place = place.ok_or(Failure::Unanswered(Unanswered::NoRoom))?;
                &mut place[..wanted]
            }
        };
        if orders.short_read {
            // None without the end of the file would be an error of another kind.
            wanted = wanted.div_ceil(2);
        }
        let result = handle(&args.file).and_then(|file| {
            let done = self.fs.read(file, args.offset, &mut place[..wanted]).map_err(status_of)?;
            let attr = self.fs.getattr(file).map_err(status_of)?;
            Ok((done, attr))
        });
        let (done, attr) = match result {
            Ok(read) => read,
            Err(status) => {
                let result: ReadRes = failed(status, self.attributes(&args.file));
                return self.reply(xid, &result, room);
            }
        };
        let count = done.count - u32::from(orders.read_count && done.count > 0);
        let eof = done.eof && !orders.short_read;
        let ok = ReadOk { attributes: Some(fattr(&attr)), count, eof, data_len: count };
        let result: ReadRes = Ok(ok);
        self.stats.read_bytes.add(u64::from(done.count));
        let prefix = self.reply(xid, &result, room)?.message;
        if reduced {
            return Ok(Answer { message: prefix, payload: done.count as usize });
        }
        let end = prefix + count as usize;
        let padded = end + pad(end);
        room.message[end..padded].fill(0);
        Ok(Answer { message: padded, payload: 0 })
    }

    fn write(
        &mut self,
        xid: u32,
        mut args: Reader<'_>,
        room: &mut Room<'_>,
        orders: &Orders,
    ) -> Result<Answer, Failure> {
        let call: WriteArgs = args.value()?;
        let data = call.take_inline_data(&mut args)?;
        let mut count = call.count.min(self.payload_bytes_max);
        if orders.short_write {
            count = count.div_ceil(2);
        }
        let stable = call.stable != StableHow::Unstable;
        let result = handle(&call.file).and_then(|file| {
            let data = &data[..count as usize];
            self.fs.write(file, call.offset, data, stable).map_err(status_of)
        });
        let wcc = wcc(self.attributes(&call.file));
        let result: nfs3::WriteRes = match result {
            Ok(()) => {
                self.stats.write_bytes.add(u64::from(count));
                let verifier = self.verifier.to_be_bytes();
                Ok(WriteOk { wcc, count, committed: call.stable, verifier })
            }
            Err(status) => failed(status, wcc),
        };
        self.reply(xid, &result, room)
    }

    /// Attributes for a reply, if they can be had.
    pub(super) fn attributes(&mut self, file: &FileHandle) -> nfs3::PostOpAttr {
        let file = from_wire(file)?;
        self.fs.getattr(file).ok().map(|attr| fattr(&attr))
    }

    /// Writes a reply's header and results.
    pub(super) fn reply<T: Encode, A: Encode>(
        &self,
        xid: u32,
        result: &Result<T, Failed<A>>,
        room: &mut Room<'_>,
    ) -> Result<Answer, Failure>
    where
        Result<T, Failed<A>>: Encode,
    {
        self.stats.nfs_errors.add(u64::from(result.is_err()));
        let mut w = begin(xid, room)?;
        w.value(result)?;
        Ok(Answer { message: w.position(), payload: 0 })
    }
}

/// Why a call has no results.
pub(super) enum Failure {
    Rpc(RpcError),
    Unanswered(Unanswered),
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(_: DecodeError) -> Self {
        Self::Rpc(RpcError::GarbageArgs)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::Unanswered(full.into())
    }
}

/// Starts a reply that has results.
pub(super) fn begin<'a>(xid: u32, room: &'a mut Room<'_>) -> Result<Writer<'a>, Full> {
    let mut w = Writer::new(room.message);
    w.value(&rpc::Reply::success(xid))?;
    Ok(w)
}

/// Takes the arguments, which must be all that is left.
pub(super) fn decode<'a, T: Decode<'a>>(mut args: Reader<'a>) -> Result<T, DecodeError> {
    let value = args.value()?;
    args.finish()?;
    Ok(value)
}

/// The file that a client's handle names.
pub(super) fn handle(wire: &FileHandle) -> Result<Handle, Status> {
    from_wire(wire).ok_or(Status::BadHandle)
}

fn check_header(header: &CallHeader<'_>) -> Result<(), RpcError> {
    header.check_version()?;
    if header.prog != nfs3::PROGRAM {
        return Err(RpcError::ProgUnavail);
    }
    if header.vers != nfs3::VERSION {
        return Err(RpcError::ProgMismatch { low: nfs3::VERSION, high: nfs3::VERSION });
    }
    match header.cred.flavor {
        flavor::NONE => Ok(()),
        flavor::SYS => match header.cred.auth_sys() {
            Ok(_) => Ok(()),
            Err(_) => Err(RpcError::Auth(auth_stat::BAD_CRED)),
        },
        _ => Err(RpcError::Auth(auth_stat::TOO_WEAK)),
    }
}
