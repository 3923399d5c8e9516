//! NFS procedures as the client makes them: for each operation the arguments to encode, the
//! payload to lend, and what its result means. Pure: no connection, no queue.

use std::ops::Range;

use hugepages::Buffer;
use rpcrdma::{Completed, Inline, Payload, Pieces, Received, Reply};
use wire::nfs3::{self, procedure as p};
use wire::rpc;
use wire::xdr::{Decode, DecodeError, Full, Reader, Writer};

use crate::op::{File, Op, Output, Submission};
use crate::walk::Walk;
use crate::{Error, Limits};

/// Number and name of the procedure that carries out an operation, or its present step.
pub(crate) fn of(op: &Op, walk: &Walk) -> (u32, &'static str) {
    match op {
        Op::Null => (p::NULL, "NULL"),
        Op::Getattr { .. } => (p::GETATTR, "GETATTR"),
        Op::Setattr { .. } => (p::SETATTR, "SETATTR"),
        Op::Lookup { .. } => (p::LOOKUP, "LOOKUP"),
        Op::Access { .. } => (p::ACCESS, "ACCESS"),
        Op::Read { .. } => (p::READ, "READ"),
        Op::Write { .. } | Op::WriteBack { .. } => (p::WRITE, "WRITE"),
        Op::Create { .. } => (p::CREATE, "CREATE"),
        Op::Mkdir { .. } => (p::MKDIR, "MKDIR"),
        Op::Remove { .. } => (p::REMOVE, "REMOVE"),
        Op::Rmdir { .. } => (p::RMDIR, "RMDIR"),
        Op::Commit { .. } | Op::Sync { .. } => (p::COMMIT, "COMMIT"),
        Op::Fsinfo { .. } => (p::FSINFO, "FSINFO"),
        Op::Fsstat { .. } => (p::FSSTAT, "FSSTAT"),
        Op::Readdirplus { .. } => (p::READDIRPLUS, "READDIRPLUS"),
        Op::Open { path, create } => walk.procedure(path, create.is_some()),
    }
}

/// Checks what can be checked before anything is sent.
#[inline]
pub(crate) fn check(submission: &Submission, limits: &Limits) -> Result<(), Box<Error>> {
    let Submission { op, buffer, pieces, .. } = submission;
    let room = buffer.as_ref().map(|buffer| buffer.len() as u64);
    let transfer = |procedure, len: u32, max: u32| {
        let asked = u64::from(len);
        let room = match (room, pieces) {
            (None, Some(pieces)) if pieces.total_len() == asked => asked,
            (Some(room), None) => room,
            (None, None) => return Err(Error::NoBuffer { procedure }.into()),
            (_, Some(pieces)) => {
                let given = pieces.total_len();
                return Err(Error::Pieces { procedure, asked, given }.into());
            }
        };
        let too_large =
            |limit_of, limit| Box::new(Error::TooLarge { procedure, asked, limit_of, limit });
        if asked > u64::from(max) {
            return Err(too_large("the server", max.into()));
        }
        if asked > room { Err(too_large("the buffer", room)) } else { Ok(()) }
    };
    match op {
        Op::Read { len, .. } => transfer("READ", *len, limits.rtmax),
        Op::WriteBack { .. } if pieces.is_some() => {
            Err(Error::NoBuffer { procedure: "WRITE" }.into())
        }
        Op::Write { len, .. } | Op::WriteBack { len, .. } => transfer("WRITE", *len, limits.wtmax),
        Op::Readdirplus { .. } => transfer("READDIRPLUS", 0, u32::MAX),
        Op::Lookup { name, .. }
        | Op::Create { name, .. }
        | Op::Mkdir { name, .. }
        | Op::Remove { name, .. }
        | Op::Rmdir { name, .. } => check_name(name),
        Op::Open { path, .. } => {
            path.split('/').filter(|name| !name.is_empty()).try_for_each(check_name)
        }
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Box<Error>> {
    let fits = (1..=nfs3::NAME_MAX as usize).contains(&name.len());
    if fits && !name.contains(['/', '\0']) {
        Ok(())
    } else {
        Err(Error::Name { name: name.chars().take(64).collect() }.into())
    }
}

// req: 8166-3.4.2-1, 8166-6.1-1
/// Hands the memory over in the role that the operation has for it; one that has none keeps it.
#[inline]
pub(crate) fn payload(
    op: &Op,
    kept: &mut Option<Buffer>,
    kept_pieces: &mut Option<Pieces>,
) -> Payload {
    if kept_pieces.is_some() {
        return in_pieces(op, kept_pieces);
    }
    let takes = matches!(
        op,
        Op::Read { .. } | Op::Write { .. } | Op::WriteBack { .. } | Op::Readdirplus { .. }
    );
    match (op, kept.take_if(|_| takes)) {
        (Op::Read { len, .. }, Some(buffer)) => Payload::Receive { buffer, len: *len },
        (Op::Write { len, .. } | Op::WriteBack { len, .. }, Some(buffer)) => {
            Payload::Send { buffer, len: *len }
        }
        (_, Some(buffer)) => {
            let len = listing_room(&buffer);
            Payload::Reply { buffer, len }
        }
        (_, None) => Payload::None,
    }
}

#[cold]
fn in_pieces(op: &Op, kept: &mut Option<Pieces>) -> Payload {
    let takes = matches!(op, Op::Read { .. } | Op::Write { .. });
    match (op, kept.take_if(|_| takes)) {
        (Op::Read { .. }, Some(pieces)) => Payload::ReceivePieces(pieces),
        (_, Some(pieces)) => Payload::SendPieces(pieces),
        (_, None) => Payload::None,
    }
}

/// Bytes of a listing's reply message that a buffer may take; servers give up to 1 MiB.
fn listing_room(buffer: &Buffer) -> u32 {
    buffer.len().min(1 << 20) as u32
}

// req: 8166-3.4.4.1-1
/// Writes the arguments.
#[inline]
pub(crate) fn encode(
    op: &Op,
    walk: &Walk,
    reply_room: u32,
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    match *op {
        Op::Null => Ok(()),
        Op::Read { file: File { handle: file }, offset, len: count } => {
            w.value(&nfs3::ReadArgs { file, offset, count })
        }
        Op::Write { file: File { handle: file }, offset, len: count, stable } => {
            w.value(&nfs3::WriteArgs { file, offset, count, stable, data_len: count })
        }
        Op::WriteBack { file: File { handle: file }, offset, len: count } => {
            let stable = nfs3::StableHow::Unstable;
            w.value(&nfs3::WriteArgs { file, offset, count, stable, data_len: count })
        }
        Op::Getattr { file: File { handle: file } } => w.value(&nfs3::GetattrArgs { file }),
        Op::Setattr { file: File { handle: file }, attributes } => {
            w.value(&nfs3::SetattrArgs { file, attributes, guard: None })
        }
        Op::Lookup { dir: File { handle: dir }, ref name } => {
            w.value(&nfs3::LookupArgs { dir, name: name.as_bytes() })
        }
        Op::Access { file: File { handle: file }, access } => {
            w.value(&nfs3::AccessArgs { file, access })
        }
        Op::Create { dir: File { handle: dir }, ref name, how } => {
            w.value(&nfs3::CreateArgs { dir, name: name.as_bytes(), how })
        }
        Op::Mkdir { dir: File { handle: dir }, ref name, attributes } => {
            w.value(&nfs3::MkdirArgs { dir, name: name.as_bytes(), attributes })
        }
        Op::Remove { dir: File { handle: dir }, ref name }
        | Op::Rmdir { dir: File { handle: dir }, ref name } => {
            w.value(&nfs3::DirOpArgs { dir, name: name.as_bytes() })
        }
        Op::Commit { file: File { handle: file }, offset, count } => {
            w.value(&nfs3::CommitArgs { file, offset, count })
        }
        Op::Sync { file: File { handle: file } } => {
            w.value(&nfs3::CommitArgs { file, offset: 0, count: 0 })
        }
        Op::Fsinfo { file: File { handle: root } } => w.value(&nfs3::FsinfoArgs { root }),
        Op::Fsstat { file: File { handle: root } } => w.value(&nfs3::FsstatArgs { root }),
        Op::Readdirplus { dir: File { handle: dir }, cookie, verifier } => {
            // The buffer takes the whole reply message: header, status and results.
            let maxcount = reply_room.saturating_sub(nfs3::reply_max(p::NULL) as u32);
            let (dircount, maxcount) = (maxcount, maxcount);
            w.value(&nfs3::ReaddirplusArgs { dir, cookie, verifier, dircount, maxcount })
        }
        Op::Open { ref path, create } => walk.encode(path, create, w),
    }
}

/// Room that a READDIRPLUS may ask the server to fill.
pub(crate) fn reply_room(op: &Op, buffer: Option<&Buffer>) -> u32 {
    match (op, buffer) {
        (Op::Readdirplus { .. }, Some(buffer)) => listing_room(buffer),
        _ => 0,
    }
}

/// What a completed step means.
pub(crate) enum Step {
    /// The operation is finished.
    Finished(Output),
    /// It goes on with another procedure.
    Again,
}

/// What became of data that came inline.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Bytes of it that were copied into the buffer.
    pub(crate) copied: usize,
    /// It was left in the Receive.
    pub(crate) received: Option<Received>,
}

impl Placed {
    /// Leaves a part of the message where it is, or copies it into the buffer.
    fn place(
        &mut self,
        inline: &mut Inline<'_>,
        range: Range<usize>,
        buffer: Option<&mut Buffer>,
        procedure: &'static str,
    ) -> Result<(), Box<Error>> {
        self.received = inline.keep(range.clone());
        if self.received.is_none() {
            let room = buffer.ok_or(Error::NoBuffer { procedure })?.get_mut(..range.len());
            let what = "it is longer than asked for";
            let room = room.ok_or(Error::BadResult { procedure, what })?;
            self.copied = range.len();
            room.copy_from_slice(&inline.bytes()[range]);
        }
        Ok(())
    }
}

/// Decodes a reply; `placed` tells where data is that came inline.
pub(crate) fn decode(
    op: &Op,
    walk: &mut Walk,
    completed: &mut Completed<'_>,
    placed: &mut Placed,
) -> Result<Step, Box<Error>> {
    let (number, name) = of(op, walk);
    if let Op::Read { len, .. } = *op {
        return read(len, completed, placed).map(Step::Finished);
    }
    if let Op::Readdirplus { .. } = op {
        return listing_len(completed, placed).map(|len| Step::Finished(Output::Listing { len }));
    }
    let message = completed.message().map_err(|error| transport(&error))?;
    let mut r = results(message, name)?;
    let step = match op {
        Op::Open { path, create } => return walk.advance(path, *create, number, &mut r),
        Op::Null => Output::Nothing,
        Op::Getattr { .. } => {
            Output::Attributes(Some(take::<nfs3::GetattrRes, _, _>(&mut r, name)?))
        }
        Op::Setattr { .. } => {
            Output::Attributes(take::<nfs3::SetattrRes, _, _>(&mut r, name)?.after)
        }
        Op::Lookup { .. } => {
            let ok = take::<nfs3::LookupRes, _, _>(&mut r, name)?;
            Output::Opened { file: File { handle: ok.handle }, attributes: ok.attributes }
        }
        Op::Access { .. } => Output::Access(take::<nfs3::AccessRes, _, _>(&mut r, name)?.access),
        Op::Write { len, .. } | Op::WriteBack { len, .. } => {
            let ok = take::<nfs3::WriteRes, _, _>(&mut r, name)?;
            if ok.count > *len {
                let what = "it took more bytes than were sent";
                return Err(bad_result(name, what));
            }
            ok.into()
        }
        // MKDIR's result is CREATE's, and RMDIR's is REMOVE's.
        Op::Create { .. } | Op::Mkdir { .. } => {
            let ok = take::<nfs3::CreateRes, _, _>(&mut r, name)?;
            let what = "it gives no handle for what it made";
            let handle = ok.handle.ok_or(Error::BadResult { procedure: name, what })?;
            Output::Opened { file: File { handle }, attributes: ok.attributes }
        }
        Op::Remove { .. } | Op::Rmdir { .. } => {
            take::<nfs3::RemoveRes, _, _>(&mut r, name)?;
            Output::Nothing
        }
        Op::Commit { .. } | Op::Sync { .. } => {
            Output::Committed { verifier: take::<nfs3::CommitRes, _, _>(&mut r, name)?.verifier }
        }
        Op::Fsinfo { .. } => Output::Fsinfo(Box::new(take::<nfs3::FsinfoRes, _, _>(&mut r, name)?)),
        Op::Fsstat { .. } => Output::Fsstat(Box::new(take::<nfs3::FsstatRes, _, _>(&mut r, name)?)),
        Op::Read { .. } | Op::Readdirplus { .. } => unreachable!("handled above"),
    };
    r.finish().map_err(|error| undecodable(name, error))?;
    Ok(Step::Finished(step))
}

// req: 8166-4.3.2.2-4, 8166-6.1-4
/// READ: the data came by Write chunk, or is in the message.
fn read(
    len: u32,
    completed: &mut Completed<'_>,
    placed: &mut Placed,
) -> Result<Output, Box<Error>> {
    let procedure = "READ";
    let Completed { result, buffer, pieces, inline, .. } = completed;
    let reply = *result.as_ref().map_err(|error| transport(error))?;
    let decode = |error| undecodable(procedure, error);
    let bad = |what| bad_result(procedure, what);
    let mut r = results(inline.bytes(), procedure)?;
    let ok = take::<nfs3::ReadRes, _, _>(&mut r, procedure)?;
    if ok.count > len {
        return Err(bad("it returns more bytes than were asked for"));
    }
    // Where a Write chunk was offered the bytes are in the buffer already and the stream ends; a
    // server that sends them inline all the same breaks the rules (RFC 8166 §6.1).
    match reply.written {
        Some(bytes) => {
            if bytes != ok.count {
                return Err(bad("its byte count is not what the Write chunk returned"));
            }
            r.finish().map_err(decode)?;
        }
        None => {
            let start = r.position();
            let data = ok.take_inline_data(&mut r).map_err(decode)?;
            let range = start..start + data.len();
            let (count, eof) = (ok.count, ok.eof);
            match pieces {
                None => placed.place(inline, range, buffer.as_mut(), procedure)?,
                Some(pieces) => placed.copied = pieces.copy_from(data),
            }
            return Ok(Output::Read { count, eof });
        }
    }
    Ok(Output::Read { count: ok.count, eof: ok.eof })
}

/// READDIRPLUS: the reply message stays where it is, or is copied into the buffer, once it is
/// checked.
fn listing_len(completed: &mut Completed<'_>, placed: &mut Placed) -> Result<u32, Box<Error>> {
    take_listing(completed.message().map_err(|error| transport(&error))?)?;
    let Completed { result, buffer, inline, .. } = completed;
    if let Ok(Some(len)) = result.as_ref().map(Reply::in_buffer) {
        return Ok(len);
    }
    let len = inline.bytes().len();
    placed.place(inline, 0..len, buffer.as_mut(), "READDIRPLUS")?;
    Ok(len as u32)
}

/// The listing in the [data](crate::Done::data) that [`Output::Listing`] came back with.
///
/// # Errors
/// The server's refusal, or bytes that are no listing.
pub fn listing(message: &[u8]) -> Result<nfs3::ReaddirplusOk<'_>, Error> {
    take_listing(message).map_err(|error| *error)
}

fn take_listing(message: &[u8]) -> Result<nfs3::ReaddirplusOk<'_>, Box<Error>> {
    let procedure = "READDIRPLUS";
    let mut r = results(message, procedure)?;
    let ok = take::<nfs3::ReaddirplusRes<'_>, _, _>(&mut r, procedure)?;
    r.finish().map_err(|error| undecodable(procedure, error))?;
    Ok(ok)
}

/// Reads the RPC reply header; the results follow.
fn results<'a>(message: &'a [u8], procedure: &'static str) -> Result<Reader<'a>, Box<Error>> {
    let mut r = Reader::new(message);
    let reply = rpc::Reply::decode(&mut r).map_err(|error| undecodable(procedure, error))?;
    reply.outcome.map_err(|error| refused(procedure, error))?;
    Ok(r)
}

/// Reads a result and turns the server's refusal into an error.
pub(crate) fn take<'a, R, T, A>(
    r: &mut Reader<'a>,
    procedure: &'static str,
) -> Result<T, Box<Error>>
where
    R: Decode<'a> + Into<Result<T, nfs3::Failed<A>>>,
{
    let result: Result<T, nfs3::Failed<A>> =
        R::decode(r).map_err(|error| undecodable(procedure, error))?.into();
    result.map_err(|failed| status(procedure, failed.status))
}

// Errors are made apart, so that results stay small where nothing has failed.

#[cold]
fn transport(error: &rpcrdma::Error) -> Box<Error> {
    Box::new(error.clone().into())
}

#[cold]
fn refused(procedure: &'static str, error: rpc::RpcError) -> Box<Error> {
    Box::new(Error::Rpc { procedure, error })
}

#[cold]
fn status(procedure: &'static str, status: nfs3::Status) -> Box<Error> {
    Box::new(Error::Nfs { procedure, status, path: None })
}

#[cold]
fn undecodable(procedure: &'static str, error: DecodeError) -> Box<Error> {
    Box::new(Error::Decode { procedure, error })
}

#[cold]
fn bad_result(procedure: &'static str, what: &'static str) -> Box<Error> {
    Box::new(Error::BadResult { procedure, what })
}
