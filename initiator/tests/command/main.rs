//! The binary as its users meet it: commands, bad input, signals, and whole runs against the
//! embedded target.

mod bad_input;
mod faults;
mod jobs;
mod signals;
mod support;
mod usage;
