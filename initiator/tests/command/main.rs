//! The binary as its users meet it: commands, bad input, signals, and whole runs against the
//! embedded target.

mod bad_input;
mod faults;
mod jobs;
mod signals;
mod state;
mod status;
mod support;
mod usage;
