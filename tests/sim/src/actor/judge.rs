//! Whether an answer is the right one.

use client::{Done, Error, Output, listing};
use reactor::Timestamp;
use wire::nfs3::Status;

use super::memory::strayed;
use super::ops::Pending;
use super::{Actor, LEFT_MAX, Left};
use crate::finding::{Checker, Finding};
use crate::model::{ModelFile, Name};
use crate::shape::log;

impl Actor {
    /// An operation has completed.
    pub(super) fn end(&mut self, mut done: Done, now: Timestamp) -> Result<(), Finding> {
        let (mount, tag) = (self.index, done.tag);
        let Some(pending) = self.pending.remove(&tag) else {
            let what = format!("mount {mount}: operation {tag} completed twice");
            return Err(Checker::Results.says(what));
        };
        let said = format!("{:?}", done.result.as_ref().map(short));
        self.digest = mix(self.digest, tag, &said);
        let verdict = self.comes_home(&pending, &done);
        let verdict = verdict.and_then(|()| self.judge(&pending, &done));
        let untouched = self.take_memory(&pending, &mut done, now);
        verdict.and(untouched).map_err(|Finding { checker, what }| {
            let shown = pending.shown();
            checker.says(format!("mount {mount}, operation {tag}, {shown}: {what} ({said})"))
        })
    }

    /// Its memory is here, and it has not failed unless it may.
    fn comes_home(&self, pending: &Pending, done: &Done) -> Result<(), Finding> {
        let in_pieces = matches!(pending, Pending::Read { layout, .. } if !layout.is_empty());
        let has_memory = matches!(
            pending,
            Pending::Write { .. }
                | Pending::WriteBack { .. }
                | Pending::Read { .. }
                | Pending::List
        );
        let home = done.buffer.is_some() || done.pieces.is_some();
        if has_memory != home || (in_pieces && done.pieces.is_none()) {
            return Err(Checker::Results.says("its memory did not come back"));
        }
        match &done.result {
            Err(Error::BadResult { procedure: "WRITE", .. }) if self.allowed.short => Ok(()),
            Err(error) if !expected_refusal(error) && !self.allowed.errors => {
                Err(Checker::Results.says("it may not fail"))
            }
            _ => Ok(()),
        }
    }

    /// Some data is left where it arrived for a while; everything else is filled with rubbish.
    fn take_memory(
        &mut self,
        pending: &Pending,
        done: &mut Done,
        now: Timestamp,
    ) -> Result<(), Finding> {
        if let Pending::Read { .. } = pending
            && self.in_place.len() < LEFT_MAX
            && self.rng.u8(0..4) == 0
        {
            let expected = done.data().to_vec();
            if let Some(received) = done.take_received() {
                let until = now.add_ns(log(&mut self.rng, 1_000, 50_000_000));
                self.seen.in_place += 1;
                self.in_place.push(Left { received, expected, until });
            }
        }
        let layout = match pending {
            Pending::Read { layout, .. } => &layout[..],
            _ => &[],
        };
        let pieces = done.pieces.take().map(rpcrdma::Pieces::into_pieces).unwrap_or_default();
        let buffers: Vec<_> = pieces.into_iter().filter_map(rpcrdma::Piece::into_buffer).collect();
        let touched = buffers.iter().zip(layout).any(|(buffer, place)| strayed(buffer, *place));
        for buffer in buffers.into_iter().chain(done.buffer.take()) {
            self.memory.home(&mut self.rng, buffer);
        }
        match touched {
            true => Err(Checker::Memory.says("bytes around a piece were touched")),
            false => Ok(()),
        }
    }

    /// Holds a result against the model.
    fn judge(&mut self, pending: &Pending, done: &Done) -> Result<(), Finding> {
        let tag = done.tag;
        match (pending, &done.result) {
            (Pending::Open { index }, Ok(Output::Opened { file, .. })) => {
                if *index != self.files.len() {
                    return Err(Checker::Results.says("files are opened one by one"));
                }
                self.files.push(ModelFile::new(*file));
                Ok(())
            }
            (
                Pending::Write { file, offset, data, stable },
                Ok(Output::Written { count, committed, .. }),
            ) => self.wrote(tag, (*file, *offset, data), *count, committed >= stable),
            (Pending::WriteBack { file, offset, data }, Ok(Output::Written { count, .. })) => {
                self.files[*file].kept(true);
                let whole = *count as usize == data.len();
                self.wrote(tag, (*file, *offset, data), *count, whole)
            }
            (Pending::Sync { file, mark }, Ok(Output::Committed { .. })) => {
                self.files[*file].proven(*mark);
                Ok(())
            }
            (Pending::Read { file, .. }, Ok(Output::Read { count, eof })) => {
                let verdict = self.check_read(pending, (*count, *eof), done);
                self.files[*file].release(tag);
                verdict
            }
            (Pending::Getattr { file, sizes }, Ok(Output::Attributes(Some(found)))) => {
                // Nothing changed a size from its beginning to its end.
                let quiet = *sizes == Some(self.sizes);
                let file = &self.files[*file];
                if quiet && !file.is_tainted() && found.size != file.size() {
                    let what = format!("size {} instead of {}", found.size, file.size());
                    return Err(Checker::Contents.says(what));
                }
                Ok(())
            }
            (Pending::Resize { file, size }, Ok(Output::Attributes(_))) => {
                self.files[*file].resize(*size);
                self.files[*file].release(tag);
                Ok(())
            }
            (Pending::Commit, Ok(Output::Committed { .. })) => Ok(()),
            (
                Pending::Ask,
                Ok(Output::Nothing | Output::Access(_) | Output::Fsinfo(_) | Output::Fsstat(_)),
            ) => Ok(()),
            (Pending::List, Ok(Output::Listing { len })) => self.check_listing(*len, done.data()),
            (Pending::Lookup { .. } | Pending::Create { .. } | Pending::Remove { .. }, result) => {
                self.judge_name(pending, result)
            }
            (_, Err(_)) => {
                self.failed(tag, pending);
                Ok(())
            }
            _ => Err(Checker::Results.says("a result of another kind")),
        }
    }

    /// It failed, and may have. Whether it ran nobody knows.
    fn failed(&mut self, tag: u64, pending: &Pending) {
        match pending {
            Pending::WriteBack { file, .. } => {
                self.files[*file].kept(false);
                self.files[*file].taint(tag);
            }
            Pending::Write { file, .. } | Pending::Resize { file, .. } => {
                self.files[*file].taint(tag);
            }
            Pending::Read { file, .. } => self.files[*file].release(tag),
            Pending::List => self.names.iter_mut().for_each(|(_, busy)| *busy = false),
            _ => {}
        }
    }

    fn wrote(
        &mut self,
        tag: u64,
        (file, offset, data): (usize, u64, &[u8]),
        count: u32,
        stable: bool,
    ) -> Result<(), Finding> {
        let (count, len) = (count as usize, data.len());
        if count > len || (count < len && !self.allowed.short) || !stable {
            return Err(Checker::Results.says("the server took something else than it was given"));
        }
        let file = &mut self.files[file];
        file.write(offset, &data[..count]);
        match count == len {
            true => file.release(tag),
            // Sent twice, it may have been whole the first time.
            false => file.taint(tag),
        }
        Ok(())
    }

    fn check_read(
        &self,
        pending: &Pending,
        (count, eof): (u32, bool),
        done: &Done,
    ) -> Result<(), Finding> {
        let Pending::Read { file, offset, len, .. } = pending else { return Ok(()) };
        let (file, short) = (&self.files[*file], self.allowed.short);
        let expected = file.expected(*offset, (*len).into());
        let got = count as usize;
        if got > expected.len() || (got < expected.len() && !short) {
            let what = format!("{got} bytes instead of {}", expected.len());
            return Err(Checker::Contents.says(what));
        }
        let gathered = done.pieces.as_ref().map(|pieces| pieces.to_vec(got));
        let data = gathered.as_deref().unwrap_or_else(|| done.data());
        if let Some(at) = (0..got).find(|&at| data.get(at) != Some(&expected[at])) {
            let (found, right) = (data.get(at), expected[at]);
            let what = format!("byte {at} is {found:#04x?} instead of {right:#04x}");
            return Err(Checker::Contents.says(what));
        }
        if done.buffer.as_ref().is_some_and(|buffer| strayed(buffer, (0, *len))) {
            return Err(Checker::Memory.says("bytes behind what was asked for were touched"));
        }
        let at_end = offset + got as u64 >= file.size();
        if eof != at_end && !short {
            return Err(Checker::Contents.says(format!("end of file: {eof} instead of {at_end}")));
        }
        Ok(())
    }

    fn check_listing(&mut self, len: u32, message: &[u8]) -> Result<(), Finding> {
        self.names.iter_mut().for_each(|(_, busy)| *busy = false);
        if message.len() != len as usize {
            let what = format!("{} bytes of listing instead of {len}", message.len());
            return Err(Checker::Results.says(what));
        }
        let listing = listing(message).map_err(|error| Checker::Results.says(error.to_string()))?;
        let found: Vec<&[u8]> = listing.entries.iter().map(|entry| entry.name).collect();
        for (name, (state, _)) in self.names.iter().enumerate() {
            let listed = found.contains(&self.named(name).as_bytes());
            let wrong = match state {
                Name::Absent => listed,
                // Behind the end of what fits the buffer is no error.
                Name::Present(_) => !listed && listing.eof,
                Name::Unknown => false,
            };
            if wrong {
                let what = format!("name {name} is {state:?}, listed: {listed}");
                return Err(Checker::Contents.says(what));
            }
        }
        Ok(())
    }
}

/// NFS statuses that the model predicts; it judges them itself.
fn expected_refusal(error: &Error) -> bool {
    matches!(error, Error::Nfs { status: Status::Exist | Status::NoEnt, .. })
}

/// A result in so many words as the digest and a report need.
fn short(output: &Output) -> String {
    match output {
        Output::Opened { .. } => "Opened".into(),
        Output::Attributes(Some(found)) => format!("Attributes(size {})", found.size),
        other => format!("{other:?}"),
    }
}

/// Folds a step into a digest (FNV-1a).
fn mix(digest: u64, tag: u64, said: &str) -> u64 {
    let bytes = tag.to_le_bytes().into_iter().chain(said.bytes());
    bytes.fold(digest ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
