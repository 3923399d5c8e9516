//! Why an operation or a mount failed, split by who said no, each in one line with an errno.

use std::time::Duration;

use wire::mount::MountStatus;
use wire::nfs3::Status;
use wire::rpc::RpcError;
use wire::xdr::DecodeError;

use crate::url::UrlError;

/// A failure of the client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is malformed.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The host name means nothing.
    #[error("cannot resolve host {host:?}: {why}")]
    Host {
        /// The name.
        host: String,
        /// From the resolver.
        why: String,
    },
    /// MOUNT or portmap could not be asked.
    #[error("{service} at {server}: {why}")]
    Service {
        /// `MOUNT` or `portmap`.
        service: &'static str,
        /// Where.
        server: String,
        /// What went wrong and what would help.
        why: String,
    },
    /// The server exports nothing that the path lies in.
    #[error("{server} does not export {path:?}; it exports: {exports}")]
    NotExported {
        /// The server.
        server: String,
        /// What was asked for.
        path: String,
        /// What there is.
        exports: String,
    },
    /// The server refuses the mount.
    #[error("{server} refused to mount {path:?}: {status}")]
    MountRefused {
        /// The server.
        server: String,
        /// What was asked for.
        path: String,
        /// Its answer.
        status: MountStatus,
    },
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] rpcrdma::Error),
    /// The RPC layer of the server refused.
    #[error("{procedure}: {error}")]
    Rpc {
        /// NFS procedure.
        procedure: &'static str,
        /// Its answer.
        error: RpcError,
    },
    /// The server answered with an NFS status.
    #[error("{procedure}{}: {status}", subject(.path))]
    Nfs {
        /// NFS procedure.
        procedure: &'static str,
        /// The answer.
        status: Status,
        /// What it was about, when that is known by name.
        path: Option<String>,
    },
    /// The server was never ready for an operation, until the time of a soft mount was up.
    #[error(
        "{procedure}{}: the server answered {status} until the mount's limit of {limit:?} for an \
         operation was up", subject(.path)
    )]
    PutOff {
        /// NFS procedure.
        procedure: &'static str,
        /// The answer, again and again.
        status: Status,
        /// What it was about, when that is known by name.
        path: Option<String>,
        /// `timeo` times the attempts that `retrans` allows.
        limit: Duration,
        /// EIO or ETIMEDOUT, as the mount is soft or softerr.
        errno: i32,
    },
    /// The server's result cannot be decoded.
    #[error("{procedure}: bad result from the server: {error}")]
    Decode {
        /// NFS procedure.
        procedure: &'static str,
        /// Where and what.
        error: DecodeError,
    },
    /// The server's result decodes but contradicts itself or the call.
    #[error("{procedure}: bad result from the server: {what}")]
    BadResult {
        /// NFS procedure.
        procedure: &'static str,
        /// The contradiction.
        what: &'static str,
    },
    /// A transfer is larger than server or buffer allow.
    #[error("{procedure} of {asked} bytes: {limit_of} allows at most {limit}")]
    TooLarge {
        /// NFS procedure.
        procedure: &'static str,
        /// Asked for.
        asked: u64,
        /// Who limits it.
        limit_of: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An operation that moves data was submitted without a buffer.
    #[error("{procedure} needs a buffer")]
    NoBuffer {
        /// NFS procedure.
        procedure: &'static str,
    },
    /// Pieces were given that are not the payload that the operation speaks of.
    #[error(
        "{procedure} of {asked} bytes with pieces of {given}: give pieces of as many, or a buffer"
    )]
    Pieces {
        /// NFS procedure.
        procedure: &'static str,
        /// What the operation says.
        asked: u64,
        /// Bytes of the pieces.
        given: u64,
    },
    /// A name cannot be sent.
    #[error("name {name:?}: 1 to 255 bytes without '/' are allowed")]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// The server has lost unstable writes: its verifier changed. For who compares verifiers
    /// himself, with bare WRITEs and COMMITs.
    #[error("the server restarted since the data was written: it may be lost, write it again")]
    VerifierChanged,
    /// The mount is not (or no more) usable.
    #[error("not mounted")]
    NotMounted,
}

impl From<Box<rpcrdma::Error>> for Error {
    fn from(error: Box<rpcrdma::Error>) -> Self {
        Self::Transport(*error)
    }
}

fn subject(path: &Option<String>) -> String {
    path.as_ref().map(|path| format!(" {path:?}")).unwrap_or_default()
}

impl Error {
    /// What a server's request to come again later turns into when the time is up.
    pub(crate) fn put_off_for(self, limit_ns: u64, expired: &rpcrdma::Error) -> Self {
        match self {
            Self::Nfs { procedure, status, path } => {
                let (limit, errno) = (Duration::from_nanos(limit_ns), transport_errno(expired));
                Self::PutOff { procedure, status, path, limit, errno }
            }
            other => other,
        }
    }

    /// The errno that a file system would give for it.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Nfs { status, .. } => status.errno(),
            Self::Url(_)
            | Self::TooLarge { .. }
            | Self::NoBuffer { .. }
            | Self::Pieces { .. }
            | Self::Name { .. } => libc::EINVAL,
            Self::Host { .. } => libc::EHOSTUNREACH,
            Self::Service { .. } => libc::ECONNREFUSED,
            Self::NotExported { .. } => libc::ENOENT,
            Self::MountRefused { .. } => libc::EACCES,
            Self::NotMounted => libc::ENOTCONN,
            Self::Transport(error) => transport_errno(error),
            Self::PutOff { errno, .. } => *errno,
            Self::VerifierChanged
            | Self::Rpc { .. }
            | Self::Decode { .. }
            | Self::BadResult { .. } => libc::EIO,
        }
    }
}

fn transport_errno(error: &rpcrdma::Error) -> i32 {
    match error {
        rpcrdma::Error::Resolve { errno, .. } => *errno,
        rpcrdma::Error::Refused { .. } => libc::ECONNREFUSED,
        rpcrdma::Error::ReservedPort { .. } => libc::EACCES,
        rpcrdma::Error::Unreachable { .. } | rpcrdma::Error::Timeout { .. } => libc::ETIMEDOUT,
        rpcrdma::Error::Lost { .. } => libc::ECONNRESET,
        rpcrdma::Error::Closed { .. } => libc::ENOTCONN,
        _ => libc::EIO,
    }
}
