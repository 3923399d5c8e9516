//! Codecs: XDR, ONC RPC, RPC-over-RDMA version 1, MOUNT version 3, portmap, NFS version 3.
//!
//! Pure functions over byte slices: no I/O, no clock, no allocation. Each type that both ends need
//! has one [`xdr::Encode`] and one [`xdr::Decode`]. Decoders take any bytes: lists are iterators
//! over validated bytes, lengths are checked before they are used, nothing recurses.

#![forbid(unsafe_code)]

mod codec;
pub mod mount;
pub mod nfs3;
pub mod portmap;
pub mod rpc;
pub mod rpcbind;
pub mod rpcrdma;
pub mod xdr;
