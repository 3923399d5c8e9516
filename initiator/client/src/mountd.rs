//! MOUNT version 3 over TCP (RFC 1813 appendix I): from a URL to a file handle.
//!
//! Control path: blocking, with a time limit on every step; call it before the reactors start, or
//! from a thread of its own. RFC 8267 §5 keeps MOUNT off RDMA.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use wire::mount;
use wire::nfs3::FileHandle;
use wire::rpc::{Auth, CallTemplate, Reply, record};
use wire::xdr::{Decode, Encode, Reader, Writer};
use wire::{portmap, rpcbind};

use crate::Error;
use crate::tcp;
use crate::url::{NFS_RDMA_PORT, NfsUrl, longest_export};

/// Largest reply that is taken: a long list of exports.
const REPLY_LEN_MAX: usize = 1 << 20;
/// The portmapper knows no MOUNT.
const NO_MOUNTD: &str = "no MOUNT version 3 over TCP is registered: is rpc.mountd running?";
/// Largest call that is made.
const CALL_LEN_MAX: usize = 2048;

/// How to ask.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// MOUNT's port; `None` asks the portmapper, as the mount option `mountport` does.
    pub mount_port: Option<u16>,
    /// The server's RDMA port, for a URL that names none; `None` is [`NFS_RDMA_PORT`].
    pub port: Option<u16>,
    /// Where the portmapper is asked.
    pub portmap_port: u16,
    /// Ask from ports below 1024, which needs CAP_NET_BIND_SERVICE.
    pub resvport: bool,
    /// Limit of each step.
    pub timeout: Duration,
    /// Credential.
    pub auth: Auth,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            mount_port: None,
            port: None,
            portmap_port: portmap::PORT,
            resvport: false,
            timeout: Duration::from_secs(10),
            auth: Auth::None,
        }
    }
}

/// Where the mount leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Address of the server for RDMA.
    pub server: SocketAddr,
    /// The export that was mounted.
    pub export: String,
    /// Its root.
    pub root: FileHandle,
    /// What the URL names below it, without a leading slash; empty for the export itself.
    pub rest: String,
}

/// Resolves the host, finds the longest export that the URL's path lies in, and mounts it.
///
/// # Errors
/// One line that says which step failed, at which server, and what it answered.
pub fn locate(url: &NfsUrl, options: &MountOptions) -> Result<Located, Error> {
    let server = resolve(url, options)?;
    let mount_port = match options.mount_port {
        Some(port) => port,
        None => mount_port(server, options)?,
    };
    let address = SocketAddr::new(server.ip(), mount_port);
    let mut service = Service::connect("MOUNT", address, options)?;
    let exports = exports(&mut service)?;
    let found = longest_export(exports.iter().cloned(), &url.path);
    let (export, rest) = found.ok_or_else(|| Error::NotExported {
        server: url.host.clone(),
        path: url.path.clone(),
        exports: if exports.is_empty() { "nothing".into() } else { exports.join(", ") },
    })?;
    let reply = service.call(
        (mount::PROGRAM, mount::VERSION, mount::procedure::MNT),
        &mount::DirPath(export.as_bytes()),
    )?;
    let mut r = Reader::new(&reply);
    let result = service.decode::<mount::MountRes>(&mut r)?;
    let mounted = result.map_err(|status| Error::MountRefused {
        server: url.host.clone(),
        path: export.clone(),
        status,
    })?;
    Ok(Located { server, root: mounted.handle, rest: rest.to_owned(), export })
}

fn resolve(url: &NfsUrl, options: &MountOptions) -> Result<SocketAddr, Error> {
    let host_error = |why: String| Error::Host { host: url.host.clone(), why };
    let port = url.port.or(options.port).unwrap_or(NFS_RDMA_PORT);
    let found = (url.host.as_str(), port).to_socket_addrs();
    let mut addresses = found.map_err(|error| host_error(error.to_string()))?;
    addresses.next().ok_or_else(|| host_error("it has no address".into()))
}

/// Asks the portmapper for MOUNT's port.
fn mount_port(server: SocketAddr, options: &MountOptions) -> Result<u16, Error> {
    let address = SocketAddr::new(server.ip(), options.portmap_port);
    let mut service = Service::connect("portmap", address, options)?;
    if server.is_ipv6() {
        return mount_port_ipv6(&mut service);
    }
    let mapping = portmap::Mapping {
        prog: mount::PROGRAM,
        vers: mount::VERSION,
        prot: portmap::TCP,
        port: 0,
    };
    let call = (portmap::PROGRAM, portmap::VERSION, portmap::procedure::GETPORT);
    let reply = service.call(call, &mapping)?;
    let portmap::Port(port) = service.decode(&mut Reader::new(&reply))?;
    port.ok_or_else(|| service.error(NO_MOUNTD.into()))
}

/// The same over IPv6, of which the portmapper's version 2 knows nothing.
fn mount_port_ipv6(service: &mut Service) -> Result<u16, Error> {
    let [high, low] = service.address.port().to_be_bytes();
    let address = format!("{}.{high}.{low}", service.address.ip());
    let asked = rpcbind::Rpcb {
        prog: mount::PROGRAM,
        vers: mount::VERSION,
        netid: rpcbind::Text(rpcbind::TCP6),
        addr: rpcbind::Text(address.as_bytes()),
        owner: rpcbind::Text(b""),
    };
    let call = (rpcbind::PROGRAM, rpcbind::VERSION, rpcbind::procedure::GETADDR);
    let reply = service.call(call, &asked)?;
    let found = service.decode::<rpcbind::Text<'_>>(&mut Reader::new(&reply))?;
    if found.0.is_empty() {
        return Err(service.error(NO_MOUNTD.into()));
    }
    let no_address = || {
        let shown = String::from_utf8_lossy(found.0).into_owned();
        service.error(format!("it gives {shown:?} as MOUNT's address, which names no port"))
    };
    found.port().ok_or_else(no_address)
}

fn exports(service: &mut Service) -> Result<Vec<String>, Error> {
    let reply = service.call((mount::PROGRAM, mount::VERSION, mount::procedure::EXPORT), &())?;
    let list = service.decode::<mount::Exports<'_>>(&mut Reader::new(&reply))?;
    Ok(list.iter().map(|export| String::from_utf8_lossy(export.path).into_owned()).collect())
}

/// One RPC service over TCP.
struct Service {
    name: &'static str,
    address: SocketAddr,
    stream: TcpStream,
    auth: Auth,
    xid: u32,
}

impl Service {
    fn connect(
        name: &'static str,
        address: SocketAddr,
        options: &MountOptions,
    ) -> Result<Self, Error> {
        let error = |error: std::io::Error| Error::Service {
            service: name,
            server: address.to_string(),
            why: format!("cannot connect by TCP: {error}"),
        };
        let stream = tcp::connect(address, options.timeout, options.resvport).map_err(error)?;
        stream.set_read_timeout(Some(options.timeout)).map_err(error)?;
        stream.set_write_timeout(Some(options.timeout)).map_err(error)?;
        Ok(Self { name, address, stream, auth: options.auth.clone(), xid: std::process::id() })
    }

    fn error(&self, why: String) -> Error {
        Error::Service { service: self.name, server: self.address.to_string(), why }
    }

    fn io_error(&self, error: &std::io::Error) -> Error {
        use std::io::ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
        self.error(match error.kind() {
            TimedOut | WouldBlock => "no answer in time".into(),
            UnexpectedEof => "it closed the connection instead of answering".into(),
            _ => error.to_string(),
        })
    }

    /// Makes a call and returns the results, behind the RPC reply header.
    fn call(
        &mut self,
        (prog, vers, procedure): (u32, u32, u32),
        args: &impl Encode,
    ) -> Result<Vec<u8>, Error> {
        self.xid = self.xid.wrapping_add(1);
        let mut call = [0; CALL_LEN_MAX];
        let mut w = Writer::new(&mut call[record::MARK_SIZE..]);
        CallTemplate::new(prog, vers, &self.auth)
            .write(self.xid, procedure, &mut w)
            .and_then(|()| args.encode(&mut w))
            .map_err(|full| self.error(format!("call too long: {full}")))?;
        let len = w.position();
        call[..record::MARK_SIZE]
            .copy_from_slice(&record::Mark { last: true, len: len as u32 }.encode());
        let sent = self.stream.write_all(&call[..record::MARK_SIZE + len]);
        sent.map_err(|error| self.io_error(&error))?;

        let message = self.receive()?;
        let mut r = Reader::new(&message);
        let reply = Reply::decode(&mut r).map_err(|error| self.error(error.to_string()))?;
        if reply.xid != self.xid {
            return Err(self.error("it answered another call than was made".into()));
        }
        reply.outcome.map_err(|error| self.error(error.to_string()))?;
        Ok(message[r.position()..].to_vec())
    }

    /// One RPC message: fragments up to the last (RFC 5531 §11).
    fn receive(&mut self) -> Result<Vec<u8>, Error> {
        let mut message = Vec::new();
        loop {
            let mut header = [0; record::MARK_SIZE];
            let read = self.stream.read_exact(&mut header);
            read.map_err(|error| self.io_error(&error))?;
            let parsed = record::Mark::parse(header);
            let record::Mark { last, len } =
                parsed.map_err(|error| self.error(error.to_string()))?;
            let start = message.len();
            if start + len as usize > REPLY_LEN_MAX {
                return Err(self.error("its reply is longer than 1 MiB".into()));
            }
            message.resize(start + len as usize, 0);
            let read = self.stream.read_exact(&mut message[start..]);
            read.map_err(|error| self.io_error(&error))?;
            if last {
                return Ok(message);
            }
        }
    }

    fn decode<'a, T: Decode<'a>>(&self, r: &mut Reader<'a>) -> Result<T, Error> {
        T::decode(r).map_err(|error| self.error(format!("bad reply: {error}")))
    }
}
