//! What reads bytes of others, as plain functions that take any bytes and must not mind: [`TARGETS`].
//!
//! A target panics when something is wrong: a decoder that disagrees with its encoder, a call that
//! never comes back. `tools/fuzz NAME` looks for such bytes with libFuzzer; what it has found worth
//! keeping is in `corpus`, one file a target, one input in hexadecimal a line, and is replayed by
//! plain `cargo test`.

#![forbid(unsafe_code)]
// It has no tests inside; those of the initiator's files below need the rest of the initiator.
#![cfg(not(test))]

mod decoders;
mod peer;
mod ring;
pub mod seeds;
mod source;
mod text;

// The initiator's own, which is no library.
#[allow(dead_code, unreachable_pub, reason = "of the whole section only the reading is used")]
#[path = "../../../initiator/src/config.rs"]
mod config;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../../../initiator/src/values.rs"]
mod values;

use std::path::{Path, PathBuf};

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Longer inputs find nothing that shorter ones do not.
    pub len_max: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), len_max: usize) -> Target {
    Target { name, run, len_max }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("header", decoders::header, 512),
    target("rpc", decoders::rpc, 512),
    target("nfs-results", decoders::nfs_results, 1024),
    target("nfs-args", decoders::nfs_args, 512),
    target("mount", decoders::mount, 1024),
    target("rpcbind", decoders::rpcbind, 256),
    target("private-data", decoders::private_data, 256),
    target("job-file", text::job_file, 2048),
    target("config", text::config, 1024),
    target("orders", text::orders, 256),
    target("url", text::url, 256),
    target("ring", ring::ring, 512),
    target("backward-call", peer::backward_call, 512),
    target("server", peer::server, 2048),
];

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// Where a target's corpus is.
#[must_use]
pub fn corpus_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{name}.hex"))
}

/// The inputs in the text of a corpus; `None` if a line is not hexadecimal.
#[must_use]
pub fn parse_corpus(text: &str) -> Option<Vec<Vec<u8>>> {
    text.lines().map(parse_hex).collect()
}

fn parse_hex(line: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = line.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// The text of a corpus: shortest inputs first, each once.
#[must_use]
pub fn write_corpus(mut inputs: Vec<Vec<u8>>) -> String {
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    inputs.dedup();
    let line = |input: &Vec<u8>| {
        input.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect::<String>()
    };
    inputs.iter().map(line).collect()
}
