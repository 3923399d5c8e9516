//! A little of everything that crosses the wire: names, attributes, listings, data of all the ways
//! that there are. What is read is compared with what was written.

use anyhow::{Result, ensure};
use client::{File, Op, Output};
use wire::nfs3::{Sattr, StableHow, access};

use crate::session::{Session, TRANSFER};

/// Files, so that a listing comes in several parts.
const FILES: usize = 200;
/// Copied into the Send; gathered; by chunk.
const SIZES: [usize; 6] = [1, 300, 1500, 3000, 4096, TRANSFER];

/// See the module. `path` of the session is a directory that does not exist yet.
pub(crate) fn run(session: &mut Session) -> Result<()> {
    let parent = session.root()?;
    let name = session.path.trim_matches('/').to_owned();
    let attributes = Box::new(Sattr { mode: Some(0o777), ..Sattr::default() });
    let (dir, _) = session.opened(Op::Mkdir { dir: parent, name: name.clone(), attributes })?;
    session.op(Op::Null, None)?;
    session.op(Op::Fsstat { file: dir }, None)?;
    for number in 0..FILES {
        let path = format!("{name}/{}", file_name(number));
        let (file, _) = session.opened(Op::Open { path, create: Some(0o666) })?;
        data(session, file, number)?;
    }
    ensure!(list(session, dir)? == FILES, "the listing has another number of files");
    for number in 0..FILES {
        let (file, size) = session.opened(Op::Lookup { dir, name: file_name(number) })?;
        ensure!(size == SIZES[number % SIZES.len()] as u64, "file {number} has {size} bytes");
        session.op(Op::Getattr { file }, None)?;
        session.op(Op::Access { file, access: access::READ }, None)?;
        session.op(Op::Remove { dir, name: file_name(number) }, None)?;
    }
    session.op(Op::Rmdir { dir: parent, name }, None).map(drop)
}

fn file_name(number: usize) -> String {
    format!("a-file-with-a-name-that-takes-some-room-{number:04}")
}

/// Writes and reads.
fn data(session: &mut Session, file: File, number: usize) -> Result<()> {
    let len = SIZES[number % SIZES.len()];
    let mut buffer = session.buffer()?;
    for (at, byte) in buffer[..len].iter_mut().enumerate() {
        *byte = (at * 31 + number) as u8;
    }
    let stable = if number.is_multiple_of(2) { StableHow::Unstable } else { StableHow::FileSync };
    let op = Op::Write { file, offset: 0, len: len as u32, stable };
    drop(session.op(op, Some(buffer))?);
    session.op(Op::Commit { file, offset: 0, count: 0 }, None)?;
    let mut buffer = session.buffer()?;
    buffer.fill(0);
    let done = session.op(Op::Read { file, offset: 0, len: len as u32 }, Some(buffer))?;
    let same = done.data().iter().enumerate().all(|(at, &byte)| byte == (at * 31 + number) as u8);
    ensure!(done.data().len() == len && same, "file {number} does not read as it was written");
    Ok(())
}

/// How many files a directory has.
fn list(session: &mut Session, dir: File) -> Result<usize> {
    let (mut cookie, mut verifier, mut files) = (0, [0; 8], 0);
    loop {
        let buffer = session.buffer()?;
        let done = session.op(Op::Readdirplus { dir, cookie, verifier }, Some(buffer))?;
        ensure!(matches!(done.result, Ok(Output::Listing { .. })), "no listing: {:?}", done.result);
        let listing = client::listing(done.data())?;
        verifier = listing.verifier;
        for entry in listing.entries.iter() {
            cookie = entry.cookie;
            files += usize::from(entry.name.len() > 2);
        }
        if listing.eof {
            return Ok(files);
        }
        ensure!(!listing.entries.is_empty(), "a part of a listing without entries");
    }
}
