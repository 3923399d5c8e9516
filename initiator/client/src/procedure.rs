//! NFS procedures as the client makes them: for each operation the arguments to encode, the
//! payload to lend, and what its result means. Pure: no connection, no queue.

use std::ops::Range;

use hugepages::Buffer;
use rpcrdma::{Inline, Payload, Pieces, Received, Reply};
use wire::nfs3::{self, procedure as p};
use wire::rpc;
use wire::xdr::{Decode, DecodeError, Full, Reader, Writer};

use crate::op::{File, Op, Output};
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
pub(crate) fn check(
    op: &Op,
    buffer: &Option<Buffer>,
    pieces: &Option<Pieces>,
    limits: &Limits,
) -> Result<(), Box<Error>> {
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
pub(crate) fn payload(
    op: &Op,
    kept: &mut Option<Buffer>,
    kept_pieces: &mut Option<Pieces>,
) -> Payload {
    match *op {
        Op::Read { len, .. } => match kept_pieces.take() {
            Some(pieces) => Payload::ReceivePieces(pieces),
            None => receive(kept, len),
        },
        Op::Write { len, .. } | Op::WriteBack { len, .. } => match kept_pieces.take() {
            Some(pieces) => Payload::SendPieces(pieces),
            None => send(kept, len),
        },
        Op::Readdirplus { .. } => kept.take().map_or(Payload::None, |buffer| {
            let len = listing_room(buffer.len());
            Payload::Reply { buffer, len }
        }),
        _ => Payload::None,
    }
}

/// Room for a result.
#[inline]
pub(crate) fn receive(kept: &mut Option<Buffer>, len: u32) -> Payload {
    match kept.take() {
        Some(buffer) => Payload::Receive { buffer, len },
        None => Payload::None,
    }
}

/// An argument.
#[inline]
pub(crate) fn send(kept: &mut Option<Buffer>, len: u32) -> Payload {
    match kept.take() {
        Some(buffer) => Payload::Send { buffer, len },
        None => Payload::None,
    }
}

/// Bytes of a listing's reply message that a buffer may take; servers give up to 1 MiB.
fn listing_room(buffer_len: usize) -> u32 {
    buffer_len.min(1 << 20) as u32
}

// req: 8166-3.4.4.1-1
/// Writes the arguments. `room` is what the payload has room for.
pub(crate) fn encode(op: &Op, walk: &Walk, room: usize, w: &mut Writer<'_>) -> Result<(), Full> {
    match *op {
        Op::Null => Ok(()),
        Op::Read { file: File { handle: file }, offset, len: count } => {
            w.value(&nfs3::ReadArgs { file, offset, count })
        }
        Op::Write { file, offset, len, stable } => put_write(file, offset, len, stable, w),
        Op::WriteBack { file, offset, len } => {
            put_write(file, offset, len, nfs3::StableHow::Unstable, w)
        }
        Op::Getattr { ref file } => w.value(&file.handle),
        Op::Setattr { file: File { handle: file }, ref attributes } => {
            let attributes = **attributes;
            w.value(&nfs3::SetattrArgs { file, attributes, guard: None })
        }
        Op::Lookup { dir: File { handle: dir }, ref name } => {
            w.value(&nfs3::LookupArgs { dir, name: name.as_bytes() })
        }
        Op::Access { file: File { handle: file }, access } => {
            w.value(&nfs3::AccessArgs { file, access })
        }
        Op::Create { dir: File { handle: dir }, ref name, ref how } => {
            w.value(&nfs3::CreateArgs { dir, name: name.as_bytes(), how: **how })
        }
        Op::Mkdir { dir: File { handle: dir }, ref name, ref attributes } => {
            let attributes = **attributes;
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
            let room = listing_room(room);
            let maxcount = room.saturating_sub(nfs3::reply_max(p::NULL) as u32);
            let (dircount, maxcount) = (maxcount, maxcount);
            w.value(&nfs3::ReaddirplusArgs { dir, cookie, verifier, dircount, maxcount })
        }
        Op::Open { ref path, create } => walk.encode(path, create, w),
    }
}

fn put_write(
    File { handle: file }: File,
    offset: u64,
    count: u32,
    stable: nfs3::StableHow,
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    w.value(&nfs3::WriteArgs { file, offset, count, stable, data_len: count })
}

/// What a completed step means.
pub(crate) enum Step {
    /// The operation is finished, and its result in the place for it.
    Finished,
    /// It goes on with another procedure.
    Again,
}

/// Where results go.
pub(crate) struct Placed<'a> {
    /// What is no bulk data. What was there before has nothing that would have to be dropped.
    pub(crate) output: &'a mut Result<Output, Error>,
    /// Data that came inline and was left in its Receive.
    pub(crate) received: &'a mut Option<Received>,
    /// Bytes of it that were copied into the buffer.
    pub(crate) copied: usize,
}

impl Placed<'_> {
    /// The operation is finished, with this result.
    #[inline(always)]
    pub(crate) fn finish(&mut self, output: Output) -> Result<Step, Box<Error>> {
        put(self.output, output);
        Ok(Step::Finished)
    }

    /// Leaves a part of the message where it is, or copies it into the buffer.
    fn place(
        &mut self,
        inline: &mut Inline<'_>,
        range: Range<usize>,
        buffer: Option<&mut Buffer>,
        procedure: &'static str,
    ) -> Result<(), Box<Error>> {
        *self.received = inline.keep(range.clone());
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

/// A reply, and where the operation has room for data that came with it.
pub(crate) struct Answer<'a, 'i> {
    pub(crate) result: Result<Reply, Box<rpcrdma::Error>>,
    pub(crate) inline: Inline<'i>,
    pub(crate) buffer: &'a mut Option<Buffer>,
    pub(crate) pieces: &'a mut Option<Pieces>,
}

impl Answer<'_, '_> {
    /// What the transport says.
    #[inline(always)]
    fn reply(&self) -> Result<Reply, Box<Error>> {
        self.result.as_ref().copied().map_err(|error| transport(error))
    }

    /// The RPC reply message, where it is in one piece.
    fn message(&self) -> Result<&[u8], Box<Error>> {
        Ok(match (self.reply()?.in_buffer(), &self.buffer) {
            (Some(len), Some(buffer)) => &buffer[..len as usize],
            _ => self.inline.bytes(),
        })
    }
}

/// What the usual reply to a usual operation says, if it is one: known by a few comparisons.
/// `written` is what came by Write chunk.
#[inline(always)]
pub(crate) fn usual(
    op: &Op,
    rpc: &[u8],
    written: Option<u32>,
    output: &mut Result<Output, Error>,
) -> Option<()> {
    match *op {
        Op::Read { len, .. } => {
            let (count, eof) = nfs3::usual::read(rpc)?;
            if written != Some(count) || count > len {
                return None;
            }
            put(output, Output::Read { count, eof });
        }
        Op::Write { len, .. } => {
            let (count, committed, verifier) = nfs3::usual::write(rpc)?;
            if count > len {
                return None;
            }
            put(output, Output::Written { count, committed, verifier });
        }
        Op::Getattr { .. } => {
            put(output, Output::Attributes(Some(nfs3::usual::getattr(rpc)?)));
        }
        _ => return None,
    }
    Some(())
}

/// The same for a READ whose data came with it: where in the message that is, if there is room for
/// so many bytes.
#[inline(always)]
pub(crate) fn usual_data(
    op: &Op,
    rpc: &[u8],
    room: usize,
    output: &mut Result<Output, Error>,
) -> Option<Range<usize>> {
    let Op::Read { len, .. } = *op else { return None };
    let (count, eof, data) = nfs3::usual::read_inline(rpc)?;
    if count > len || data.len() > room {
        return None;
    }
    put(output, Output::Read { count, eof });
    Some(data)
}

/// Puts a result where there is none, so that nothing would have to be dropped.
#[inline(always)]
fn put(place: &mut Result<Output, Error>, output: Output) {
    std::mem::forget(std::mem::replace(place, Ok(output)));
}

/// Decodes a reply, and puts its results where they belong.
pub(crate) fn decode(
    op: &Op,
    walk: &mut Walk,
    answer: &mut Answer<'_, '_>,
    placed: &mut Placed<'_>,
) -> Result<Step, Box<Error>> {
    match *op {
        Op::Read { len, .. } => {
            let (count, eof) = read(len, answer, placed)?;
            placed.finish(Output::Read { count, eof })
        }
        Op::Write { len, .. } | Op::WriteBack { len, .. } => {
            let written = write(len, answer)?.into();
            placed.finish(written)
        }
        Op::Getattr { .. } => {
            let attributes = getattr(answer)?;
            placed.finish(Output::Attributes(Some(attributes)))
        }
        Op::Open { ref path, create } => advance(path, create, walk, answer, placed),
        _ => {
            let output = other(op, walk, answer, placed)?;
            placed.finish(output)
        }
    }
}

#[inline(never)]
fn advance(
    path: &str,
    create: Option<u32>,
    walk: &mut Walk,
    answer: &Answer<'_, '_>,
    placed: &mut Placed<'_>,
) -> Result<Step, Box<Error>> {
    let (number, name) = walk.procedure(path, create.is_some());
    let mut r = results(answer.message()?, name)?;
    match walk.advance(path, create, number, &mut r)? {
        Some(opened) => placed.finish(opened),
        None => Ok(Step::Again),
    }
}

/// What is decoded less often.
#[inline(never)]
fn other(
    op: &Op,
    walk: &Walk,
    answer: &mut Answer<'_, '_>,
    placed: &mut Placed<'_>,
) -> Result<Output, Box<Error>> {
    let (_, name) = of(op, walk);
    if let Op::Readdirplus { .. } = op {
        return listing_len(answer, placed).map(|len| Output::Listing { len });
    }
    let message = answer.message()?;
    let mut r = results(message, name)?;
    let output = match op {
        Op::Null => Output::Nothing,
        Op::Setattr { .. } => {
            Output::Attributes(take::<nfs3::SetattrRes, _, _>(&mut r, name)?.after)
        }
        Op::Lookup { .. } => {
            let ok = take::<nfs3::LookupRes, _, _>(&mut r, name)?;
            Output::opened(ok.handle, ok.attributes)
        }
        Op::Access { .. } => Output::Access(take::<nfs3::AccessRes, _, _>(&mut r, name)?.access),
        // MKDIR's result is CREATE's, and RMDIR's is REMOVE's.
        Op::Create { .. } | Op::Mkdir { .. } => {
            let ok = take::<nfs3::CreateRes, _, _>(&mut r, name)?;
            let what = "it gives no handle for what it made";
            let handle = ok.handle.ok_or(Error::BadResult { procedure: name, what })?;
            Output::opened(handle, ok.attributes)
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
        Op::Getattr { .. }
        | Op::Read { .. }
        | Op::Write { .. }
        | Op::WriteBack { .. }
        | Op::Open { .. }
        | Op::Readdirplus { .. } => unreachable!("handled elsewhere"),
    };
    r.finish().map_err(|error| undecodable(name, error))?;
    Ok(output)
}

/// The results of a procedure that are all there is in its reply.
#[inline(always)]
fn whole<R, T, A>(answer: &Answer<'_, '_>, procedure: &'static str) -> Result<T, Box<Error>>
where
    R: for<'a> Decode<'a> + Into<Result<T, nfs3::Failed<A>>>,
{
    answer.reply()?;
    let mut r = results(answer.inline.bytes(), procedure)?;
    let ok = take::<R, _, _>(&mut r, procedure)?;
    r.finish().map_err(|error| undecodable(procedure, error))?;
    Ok(ok)
}

/// GETATTR.
#[inline(always)]
fn getattr(answer: &Answer<'_, '_>) -> Result<nfs3::Fattr, Box<Error>> {
    whole::<nfs3::GetattrRes, _, _>(answer, "GETATTR")
}

/// WRITE.
#[inline(always)]
fn write(len: u32, answer: &Answer<'_, '_>) -> Result<nfs3::WriteOk, Box<Error>> {
    let ok = whole::<nfs3::WriteRes, _, _>(answer, "WRITE")?;
    if ok.count > len {
        return Err(bad_result("WRITE", "it took more bytes than were sent"));
    }
    Ok(ok)
}

// req: 8166-4.3.2.2-4, 8166-6.1-4
/// READ: the data came by Write chunk, or is in the message. How many bytes, and whether they end
/// the file.
#[inline(always)]
fn read(
    len: u32,
    answer: &mut Answer<'_, '_>,
    placed: &mut Placed<'_>,
) -> Result<(u32, bool), Box<Error>> {
    let procedure = "READ";
    let reply = answer.reply()?;
    let Answer { inline, buffer, pieces, .. } = answer;
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
            match pieces {
                None => placed.place(inline, range, buffer.as_mut(), procedure)?,
                Some(pieces) => placed.copied = pieces.copy_from(data),
            }
        }
    }
    Ok((ok.count, ok.eof))
}

/// READDIRPLUS: the reply message stays where it is, or is copied into the buffer, once it is
/// checked.
fn listing_len(answer: &mut Answer<'_, '_>, placed: &mut Placed<'_>) -> Result<u32, Box<Error>> {
    take_listing(answer.message()?)?;
    if let Some(len) = answer.reply()?.in_buffer() {
        return Ok(len);
    }
    let Answer { inline, buffer, .. } = answer;
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
#[inline(always)]
fn results<'a>(message: &'a [u8], procedure: &'static str) -> Result<Reader<'a>, Box<Error>> {
    let mut r = Reader::new(message);
    let reply = rpc::Reply::decode(&mut r).map_err(|error| undecodable(procedure, error))?;
    reply.outcome.map_err(|error| refused(procedure, error))?;
    Ok(r)
}

/// Reads a result and turns the server's refusal into an error.
#[inline(always)]
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
