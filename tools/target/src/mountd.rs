//! MOUNT version 3 over TCP (RFC 1813 §5, RFC 8267 §5.1): from an exported path to its handle.
//!
//! Threading: polled by the target's thread; sockets do not block. Faults survived: any bytes on
//! the port, fragments without end, clients that say nothing, or stop reading. Each connection has
//! a bounded buffer and a bounded life, and there is a most of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use reactor::{Timestamp, WakeSources};
use wire::mount::{self, DirPath, Exports, Flavors, MountOk, MountRes, MountStatus, procedure};
use wire::rpc::record::{MARK_SIZE, Mark};
use wire::rpc::{CallHeader, Reply, RpcError, flavor};
use wire::xdr::{Decode, Full, Reader, Writer};

use crate::fs::{AnyFs, FileSystem, FsError, Kind};
use crate::server::to_wire;
use crate::stats::Stats;

/// Most TCP connections at once.
const SESSIONS_MAX: usize = 64;
/// Longest call: a path of 1,024 bytes and two credentials fit.
const CALL_BYTES_MAX: usize = 4096;
/// Longest reply: the longest list of exports fits.
const REPLY_BYTES_MAX: usize = 128 << 10;
/// A connection that brings no call for so long is closed.
const SILENCE_NS_MAX: u64 = 30_000_000_000;
/// Calls answered for one connection in one turn.
const CALLS_PER_TURN: usize = 16;

/// The MOUNT service.
pub(crate) struct Mountd {
    listener: TcpListener,
    addr: SocketAddr,
    exports: Vec<String>,
    sessions: Vec<Session>,
    stats: Arc<Stats>,
    reply: Vec<u8>,
}

/// One TCP connection.
struct Session {
    stream: TcpStream,
    last_call: Timestamp,
    /// Bytes received and not used yet.
    input: Vec<u8>,
    /// The call so far, without its marks.
    call: Vec<u8>,
    /// Bytes of replies that the client has not taken yet.
    output: Vec<u8>,
}

/// A connection came to its end; `true` if by something the client should not have done.
struct Ended(bool);

impl Mountd {
    pub(crate) fn listen(
        addr: SocketAddr,
        exports: &[String],
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let (addr, exports) = (listener.local_addr()?, exports.to_vec());
        let reply = vec![0; REPLY_BYTES_MAX];
        Ok(Self { listener, addr, exports, sessions: Vec::new(), stats, reply })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes new connections and answers what has arrived.
    pub(crate) fn poll(&mut self, now: Timestamp, fs: &mut AnyFs) -> bool {
        let mut busy = self.accept(now);
        let mut sessions = std::mem::take(&mut self.sessions);
        sessions.retain_mut(|session| match self.serve(session, now, fs) {
            Ok(any) => {
                busy |= any;
                true
            }
            Err(Ended(fault)) => {
                self.stats.mount_dropped.add(u64::from(fault));
                busy = true;
                false
            }
        });
        self.sessions = sessions;
        busy
    }

    /// Says what is to wake a target that sleeps: connections, calls, and clients that say nothing.
    pub(crate) fn arm(&self, sources: &mut WakeSources, interval_ns: u64) {
        if self.sessions.len() < SESSIONS_MAX {
            sources.watch(self.listener.as_fd());
        }
        for session in &self.sessions {
            if session.output.is_empty() {
                sources.watch(session.stream.as_fd());
                sources.no_later_than(session.last_call.add_ns(SILENCE_NS_MAX).add_ns(1));
            } else {
                // Until the client takes its reply.
                sources.no_later_than(sources.now().add_ns(interval_ns));
            }
        }
    }

    fn accept(&mut self, now: Timestamp) -> bool {
        let before = self.sessions.len();
        // The rest waits in the system's queue.
        while self.sessions.len() < SESSIONS_MAX {
            let Ok((stream, peer)) = self.listener.accept() else { break };
            self.stats.mount_reserved.add(u64::from(peer.port() < 1024));
            if stream.set_nonblocking(true).is_ok() {
                let _ = stream.set_nodelay(true);
                let (input, call, output) = Default::default();
                self.sessions.push(Session { stream, last_call: now, input, call, output });
            }
        }
        self.sessions.len() > before
    }

    fn serve(
        &mut self,
        session: &mut Session,
        now: Timestamp,
        fs: &mut AnyFs,
    ) -> Result<bool, Ended> {
        session.send()?;
        if !session.output.is_empty() {
            return session.silence(now);
        }
        let open = session.receive()?;
        let mut calls = 0;
        while calls < CALLS_PER_TURN && session.next_call()? {
            let len = self.answer(&session.call, fs).map_err(|_| Ended(true))?;
            session.call.clear();
            session.last_call = now;
            let mark = Mark { last: true, len: len as u32 };
            session.output.extend(mark.encode());
            session.output.extend(&self.reply[..len]);
            calls += 1;
        }
        session.send()?;
        match (calls, open) {
            (0, false) => Err(Ended(!session.input.is_empty() || !session.call.is_empty())),
            (0, true) => session.silence(now),
            _ => Ok(true),
        }
    }

    /// Writes the reply to a call; an error ends the connection.
    fn answer(&mut self, call: &[u8], fs: &mut AnyFs) -> Result<usize, NoReply> {
        let mut args = Reader::new(call);
        let header = CallHeader::decode(&mut args).map_err(|_| NoReply)?;
        self.stats.mount_calls.add(1);
        let mut reply = std::mem::take(&mut self.reply);
        let result = self.results(&header, args, fs, &mut Writer::new(&mut reply));
        let len = result.or_else(|error| {
            let mut w = Writer::new(&mut reply);
            w.value(&Reply::error(header.xid, error))?;
            Ok::<_, Full>(w.position())
        });
        self.reply = reply;
        len.map_err(|_| NoReply)
    }

    fn results(
        &self,
        header: &CallHeader<'_>,
        mut args: Reader<'_>,
        fs: &mut AnyFs,
        w: &mut Writer<'_>,
    ) -> Result<usize, RpcError> {
        header.check_version()?;
        if header.prog != mount::PROGRAM {
            return Err(RpcError::ProgUnavail);
        }
        if header.vers != mount::VERSION {
            let (low, high) = (mount::VERSION, mount::VERSION);
            return Err(RpcError::ProgMismatch { low, high });
        }
        let full = |_| RpcError::SystemErr;
        w.value(&Reply::success(header.xid)).map_err(full)?;
        match header.procedure {
            procedure::NULL | procedure::UMNTALL => Ok(()),
            procedure::MNT => {
                let path: DirPath<'_> = args.value().map_err(|_| RpcError::GarbageArgs)?;
                w.value(&self.mount(path.0, fs))
            }
            procedure::UMNT => {
                args.value::<DirPath<'_>>().map_err(|_| RpcError::GarbageArgs)?;
                Ok(())
            }
            // Nobody's mounts are remembered.
            procedure::DUMP => w.bool(false),
            procedure::EXPORT => {
                let everybody = std::iter::empty::<&[u8]>;
                let exports = self.exports.iter().map(|path| (path.as_bytes(), everybody()));
                Exports::write(exports, w)
            }
            _ => return Err(RpcError::ProcUnavail),
        }
        .map_err(full)?;
        Ok(w.position())
    }

    /// Only a path that is exported as it stands can be mounted: one below it is refused, and one
    /// that is nowhere is not found.
    fn mount(&self, path: &[u8], fs: &mut AnyFs) -> MountRes {
        let path = std::str::from_utf8(path).map_err(|_| MountStatus::NoEnt)?;
        let trimmed = match path.trim_end_matches('/') {
            "" if path.starts_with('/') => "/",
            trimmed => trimmed,
        };
        let found = fs.resolve(trimmed).and_then(|dir| Ok((dir, fs.getattr(dir)?)));
        let (dir, attr) = found.map_err(|error| match error {
            FsError::NotFound | FsError::Stale => MountStatus::NoEnt,
            FsError::NotDirectory => MountStatus::NotDir,
            FsError::NameTooLong => MountStatus::NameTooLong,
            _ => MountStatus::Access,
        })?;
        if !self.exports.iter().any(|export| export == trimmed) {
            return Err(MountStatus::Access);
        }
        if attr.kind != Kind::Directory {
            return Err(MountStatus::NotDir);
        }
        let flavors = Flavors::from_slice(&[flavor::SYS, flavor::NONE]);
        let flavors = flavors.ok_or(MountStatus::ServerFault)?;
        Ok(MountOk { handle: to_wire(dir), flavors })
    }
}

/// What arrived is no call.
struct NoReply;

impl Session {
    /// Takes what has arrived, within bounds. Says whether the client may still send.
    fn receive(&mut self) -> Result<bool, Ended> {
        let mut chunk = [0; 2048];
        loop {
            if self.input.len() + chunk.len() > 2 * CALL_BYTES_MAX {
                return Ok(true);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(count) => self.input.extend(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended(false)),
            }
        }
    }

    /// Moves whole fragments from the input to the call. Says whether the call is complete.
    fn next_call(&mut self) -> Result<bool, Ended> {
        while let Some(mark) = self.input.first_chunk::<MARK_SIZE>() {
            let mark = Mark::parse(*mark).map_err(|_| Ended(true))?;
            let len = mark.len as usize;
            // A fragment must bring something, or there could be ever more of them.
            let endless = len == 0 && !mark.last;
            if endless || self.call.len() + len > CALL_BYTES_MAX {
                return Err(Ended(true));
            }
            let end = MARK_SIZE + len;
            if self.input.len() < end {
                return Ok(false);
            }
            self.call.extend(&self.input[MARK_SIZE..end]);
            self.input.drain(..end);
            if mark.last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send(&mut self) -> Result<(), Ended> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Err(Ended(false)),
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended(false)),
            }
        }
        Ok(())
    }

    fn silence(&self, now: Timestamp) -> Result<bool, Ended> {
        match now.ns_since(self.last_call) > SILENCE_NS_MAX {
            true => Err(Ended(true)),
            false => Ok(false),
        }
    }
}

#[cfg(test)]
#[path = "mountd_tests.rs"]
mod tests;
