//! Tests of the NFS codecs: values there and back, a second implementation, hostile bytes, sizes.

mod dir;
mod faults;
mod sizes;
mod values;
