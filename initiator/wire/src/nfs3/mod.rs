//! NFS version 3 (RFC 1813), with the RPC-over-RDMA binding of RFC 8267 in mind.
//!
//! Arguments are `XxxArgs`. Results are `XxxRes`, which is `Result<XxxOk, Failed<…>>`: a status
//! word and then either the results or what the RFC returns with a failure.
//!
//! File data is not part of [`WriteArgs`] and [`ReadOk`]: their codecs stop behind the length word
//! of the opaque. Where the data is inline, it and its pad are the next bytes; where it was reduced
//! (RFC 8166 §3.4.4.1, §3.4.4.4), the length word stays in the stream while the bytes and the pad
//! are gone from it.

mod args;
mod attr;
mod call;
mod dir;
mod handle;
mod results;
mod status;
pub mod usual;

use crate::rpc;

pub use args::*;
pub use attr::*;
pub use call::put_call;
pub use dir::*;
pub use handle::FileHandle;
pub use results::*;
pub use status::{Failed, Status};

/// RPC program.
pub const PROGRAM: u32 = 100_003;
/// Its version.
pub const VERSION: u32 = 3;
/// Longest file handle (NFS3_FHSIZE).
pub const HANDLE_MAX: u32 = 64;
/// Longest name that is accepted. RFC 1813 sets no limit; Linux servers and clients set this one.
/// Whoever encodes a name checks it.
pub const NAME_MAX: u32 = 255;

/// Procedures (RFC 1813 §3.3).
pub mod procedure {
    /// Do nothing.
    pub const NULL: u32 = 0;
    /// Get attributes.
    pub const GETATTR: u32 = 1;
    /// Set attributes.
    pub const SETATTR: u32 = 2;
    /// Look a name up.
    pub const LOOKUP: u32 = 3;
    /// Check access.
    pub const ACCESS: u32 = 4;
    /// Read a symbolic link.
    pub const READLINK: u32 = 5;
    /// Read.
    pub const READ: u32 = 6;
    /// Write.
    pub const WRITE: u32 = 7;
    /// Create a file.
    pub const CREATE: u32 = 8;
    /// Create a directory.
    pub const MKDIR: u32 = 9;
    /// Create a symbolic link.
    pub const SYMLINK: u32 = 10;
    /// Create a special file.
    pub const MKNOD: u32 = 11;
    /// Remove a file.
    pub const REMOVE: u32 = 12;
    /// Remove a directory.
    pub const RMDIR: u32 = 13;
    /// Rename.
    pub const RENAME: u32 = 14;
    /// Link to a file.
    pub const LINK: u32 = 15;
    /// Read a directory.
    pub const READDIR: u32 = 16;
    /// Read a directory with attributes and handles.
    pub const READDIRPLUS: u32 = 17;
    /// Space in the file system.
    pub const FSSTAT: u32 = 18;
    /// Limits of the server.
    pub const FSINFO: u32 = 19;
    /// POSIX limits.
    pub const PATHCONF: u32 = 20;
    /// Make written data stable.
    pub const COMMIT: u32 = 21;
}

const STATUS: usize = 4;
const FATTR: usize = 84;
const POST_OP_ATTR: usize = 4 + FATTR;
const WCC_DATA: usize = 4 + 24 + POST_OP_ATTR;
const HANDLE: usize = 4 + HANDLE_MAX as usize;

/// Largest reply to a procedure: RPC header with an empty verifier, status and results, without
/// what has a length of its own, which the caller adds: file data of READ and its pad, path of
/// READLINK, `maxcount` of READDIRPLUS, `count` of READDIR.
///
/// An error reply in place of results fits as well, for a number that is no procedure too.
#[must_use]
pub const fn reply_max(procedure: u32) -> usize {
    use self::procedure as p;
    let results = match procedure {
        p::GETATTR => FATTR,
        p::SETATTR | p::REMOVE | p::RMDIR => WCC_DATA,
        p::LOOKUP => HANDLE + 2 * POST_OP_ATTR,
        p::ACCESS | p::READLINK => POST_OP_ATTR + 4,
        p::READ => POST_OP_ATTR + 4 + 4 + 4,
        p::WRITE => WCC_DATA + 4 + 4 + 8,
        p::CREATE | p::MKDIR | p::SYMLINK | p::MKNOD => 4 + HANDLE + POST_OP_ATTR + WCC_DATA,
        p::RENAME => 2 * WCC_DATA,
        p::LINK => POST_OP_ATTR + WCC_DATA,
        p::READDIR | p::READDIRPLUS => POST_OP_ATTR + 8 + 4 + 4,
        p::FSSTAT => POST_OP_ATTR + 6 * 8 + 4,
        p::FSINFO => POST_OP_ATTR + 7 * 4 + 8 + 8 + 4,
        p::PATHCONF => POST_OP_ATTR + 6 * 4,
        p::COMMIT => WCC_DATA + 8,
        _ => return rpc::ERROR_REPLY_MAX,
    };
    rpc::REPLY_HEADER + STATUS + results
}

#[cfg(test)]
mod tests;
