//! (being written)
pub mod backend;
