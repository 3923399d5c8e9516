//! Writes whose data is kept until it is durable ([`Op::WriteBack`]), and [`Op::Sync`].
//!
//! A write's data stays with the mount after its result: the caller gets another buffer in
//! exchange, at most `exchanged_max` of them. When there is none to give, the result itself waits
//! for the proof, and the caller has his own buffer again. So there is always room to go on:
//! neither a COMMIT nor a write that is sent again needs any buffer.
//!
//! Each file with such data goes round
//!
//! ```text
//!   Idle ─→ Committing ─→ Idle                     all verifiers are the same
//!               └─→ Draining ─→ Resending ─→ Idle  the server has restarted; COMMIT again
//! ```
//!
//! From Draining on new writes to the file wait at the gate, so that nothing old is sent while
//! something new is under way. COMMITs and repeated writes have places of their own, `OWN_MAX` a
//! mount; files take turns for them.
//!
//! Faults survived: servers that restart at any moment and again (the last attempt asks for
//! FILE_SYNC, so that it needs no COMMIT), take fewer bytes than offered, or fail the COMMIT or
//! the repeated write: then whoever waits is told, and the data stays for the next attempt.

use hugepages::Buffer;
use wire::nfs3::StableHow;

use super::kept::{Kept, KeptFile, Phase, Progress};
use super::{Mount, MountState, Role, Task};
use crate::Error;
use crate::op::{Op, Output};
use crate::uncommitted::{Extent, Proof};

/// COMMITs and repeated writes in flight on a mount.
pub(super) const OWN_MAX: u32 = 16;
/// Restarts during one recovery after which lost data is written FILE_SYNC.
const UNSTABLE_ROUNDS_MAX: u32 = 2;

/// A write that the server has taken as a whole.
struct Taken {
    at: u32,
    range: (u64, u32),
    proof: Proof,
    verifier: [u8; 8],
}

impl Mount {
    /// Takes a WriteBack or a Sync whose task was made. True: it is to be sent now.
    #[inline(never)]
    pub(super) fn admit(&mut self, slot: u32) -> bool {
        let task = &mut self.tasks[slot as usize];
        let (Op::WriteBack { file, .. } | Op::Sync { file }) = task.op else { return true };
        let at = self.kept.place(file);
        let kept = self.kept.file(at);
        if let Op::Sync { .. } = task.op {
            let since = kept.log.mark();
            kept.syncs.push_back((since, slot));
            self.kept.want(at);
            self.serve();
            return false;
        }
        task.role = Role::Kept(Progress::new(at));
        if matches!(kept.phase, Phase::Draining { .. } | Phase::Resending { .. }) {
            kept.gated.push_back(slot);
            return false;
        }
        kept.writing += 1;
        true
    }

    /// A task that has to do with kept data has its result.
    #[inline(never)]
    pub(super) fn kept_finished(
        &mut self,
        slot: u32,
        role: Role,
        result: Result<Output, Error>,
        buffer: Option<Buffer>,
    ) {
        if let MountState::Gone(error) = &self.state {
            let error = error.clone();
            return match role {
                Role::Commit { .. } | Role::Resend { .. } => self.end_own(slot),
                _ => self.reply(slot, Err(error), buffer),
            };
        }
        match role {
            Role::Kept(progress) => self.wrote(slot, progress, result, buffer),
            Role::Commit { at, mark } => {
                self.end_own(slot);
                self.committed(at, mark, result);
            }
            Role::Resend { index, progress } => self.resent(slot, index, progress, result, buffer),
            Role::Vacant | Role::Plain | Role::Greeting => {}
        }
        self.serve();
    }

    fn reply(&mut self, slot: u32, result: Result<Output, Error>, buffer: Option<Buffer>) {
        let task = &mut self.tasks[slot as usize];
        task.take_back((buffer, None));
        task.put(result);
        self.answer(slot);
    }

    fn end_own(&mut self, slot: u32) {
        self.vacate(slot);
        self.kept.own -= 1;
    }

    /// Files take turns for the places that are free.
    fn serve(&mut self) {
        while self.kept.own < OWN_MAX
            && let Some(at) = self.kept.due.pop_front()
        {
            let kept = self.kept.file(at);
            kept.due = false;
            match kept.phase {
                Phase::Idle => self.commit(at),
                Phase::Resending { .. } => self.resend(at),
                Phase::Committing | Phase::Draining { .. } => {}
            }
        }
    }

    fn start_own(&mut self, op: Op, role: Role, buffer: Option<Buffer>) {
        // As many places as `OWN_MAX` are set aside.
        let Some(slot) = self.free.pop() else { return };
        let since = self.now;
        self.tasks[slot as usize] = Task { op, role, since, buffer, ..Task::vacant(self.root) };
        self.waiting.push_back(slot);
        self.kept.own += 1;
    }

    fn commit(&mut self, at: u32) {
        let kept = self.kept.file(at);
        let (file, mark) = (kept.file, kept.log.mark());
        kept.phase = Phase::Committing;
        self.start_own(Op::Sync { file }, Role::Commit { at, mark }, None);
    }

    /// A COMMIT has come back.
    fn committed(&mut self, at: u32, mark: u64, result: Result<Output, Error>) {
        let kept = self.kept.file(at);
        let verifier = match result {
            Ok(Output::Committed { verifier }) => verifier,
            Ok(_) => return self.failed(at, mark, &Error::NotMounted),
            Err(error) => {
                if let Error::Nfs { .. } = error {
                    // What the server could not make durable may be gone.
                    kept.log.doubt(mark);
                }
                return self.failed(at, mark, &error);
            }
        };
        let proven = kept.log.is_proven(mark, verifier);
        #[cfg(feature = "planted-faults")]
        let proven = proven || self.planted == Some(rpcrdma::Fault::AnyVerifier);
        if !proven {
            kept.phase = Phase::Draining { mark, verifier };
            return self.drained(at);
        }
        kept.rounds = 0;
        kept.phase = Phase::Idle;
        while let Some(extent) = self.kept.file(at).log.pop_before(mark) {
            self.release(extent, Ok(verifier));
        }
        while let Some((_, slot)) =
            self.kept.file(at).syncs.pop_front_if(|(since, _)| *since < mark)
        {
            self.reply(slot, Ok(Output::Committed { verifier }), None);
        }
        self.kept.pressed &= self.kept.exchanged > self.kept.exchanged_max / 2;
        if self.kept.pressed && !self.kept.file(at).log.is_empty() {
            self.kept.want(at);
        }
        self.settle(at);
    }

    /// Goes on for those who wait, or forgets a file of which nothing is kept.
    fn settle(&mut self, at: u32) {
        let kept = self.kept.file(at);
        if !kept.syncs.is_empty() || kept.log.has_held() {
            return self.kept.want(at);
        }
        let unused = kept.log.is_empty() && kept.writing == 0 && kept.gated.is_empty() && !kept.due;
        if unused && matches!(kept.phase, Phase::Idle) {
            let handle = kept.file.handle;
            self.kept.by_handle.remove(&handle);
            self.kept.vacant.push(at);
        }
    }

    /// Tells those who have waited since before `mark`. What is kept stays for the next attempt.
    fn failed(&mut self, at: u32, mark: u64, error: &Error) {
        self.kept.file(at).phase = Phase::Idle;
        for extent in self.kept.file(at).log.take_held(mark) {
            self.release(extent, Err(error.clone()));
        }
        while let Some((_, slot)) =
            self.kept.file(at).syncs.pop_front_if(|(since, _)| *since < mark)
        {
            self.reply(slot, Err(error.clone()), None);
        }
        self.settle(at);
    }

    /// An extent need not be kept any more.
    fn release(&mut self, extent: Extent<Buffer>, proof: Result<[u8; 8], Error>) {
        let Extent { held, buffer, len: count, .. } = extent;
        let Some(slot) = held else {
            self.kept.exchanged -= 1;
            return;
        };
        let committed = StableHow::FileSync;
        let written = proof.map(|verifier| Output::Written { count, committed, verifier });
        self.reply(slot, written, buffer);
    }

    /// Takes the answer to a write. `None`: the rest is still to be sent. However it ends, the bytes
    /// are in their order again.
    fn take_part(
        &mut self,
        slot: u32,
        progress: &mut Progress,
        result: Result<Output, Error>,
        buffer: &mut Option<Buffer>,
    ) -> Result<Option<Taken>, Error> {
        let task = &mut self.tasks[slot as usize];
        let (Op::WriteBack { offset, len, .. } | Op::Write { offset, len, .. }) = &mut task.op
        else {
            return Err(Error::NotMounted);
        };
        let whole = progress.taken + *len;
        let bytes = buffer.as_mut().ok_or(Error::NoBuffer { procedure: "WRITE" })?;
        let bytes = &mut bytes[..whole as usize];
        let (count, proof, verifier) = match result {
            Ok(Output::Written { count: 0, .. }) if *len > 0 => {
                Err(Error::BadResult { procedure: "WRITE", what: "it took nothing" })
            }
            Ok(Output::Written { count, committed: StableHow::Unstable, verifier }) => {
                Ok((count, Proof::Verifier(verifier), verifier))
            }
            Ok(Output::Written { count, verifier, .. }) => Ok((count, Proof::Durable, verifier)),
            Ok(_) => Err(Error::NotMounted),
            Err(error) => Err(error),
        }
        .inspect_err(|_| bytes.rotate_right(progress.taken as usize))?;
        progress.proof = progress.proof.and(proof);
        if count < *len {
            // The rest comes to the front, where a write begins; what was taken is kept behind it.
            bytes.rotate_left(count as usize);
            progress.taken += count;
            *offset += u64::from(count);
            *len -= count;
            return Ok(None);
        }
        bytes.rotate_right(progress.taken as usize);
        let range = (*offset - u64::from(progress.taken), whole);
        Ok(Some(Taken { at: progress.at, range, proof: progress.proof, verifier }))
    }

    /// The rest of a write that was taken in part.
    fn go_on(&mut self, slot: u32, role: Role, buffer: Option<Buffer>) {
        let task = &mut self.tasks[slot as usize];
        (task.role, task.buffer) = (role, buffer);
        self.waiting.push_back(slot);
    }

    /// A write of the caller's has come back.
    fn wrote(
        &mut self,
        slot: u32,
        mut progress: Progress,
        result: Result<Output, Error>,
        mut buffer: Option<Buffer>,
    ) {
        let taken = self.take_part(slot, &mut progress, result, &mut buffer);
        let taken = match taken {
            Ok(None) => return self.go_on(slot, Role::Kept(progress), buffer),
            Ok(Some(taken)) => Ok(taken),
            Err(error) => Err(error),
        };
        let at = progress.at;
        match (taken, buffer) {
            (Ok(taken), Some(buffer)) => self.keep(slot, &taken, buffer),
            (Err(error), buffer) => self.reply(slot, Err(error), buffer),
            (Ok(_), None) => {}
        }
        self.kept.file(at).writing -= 1;
        self.drained(at);
        self.settle(at);
    }

    /// Keeps what has been written and gives a buffer in exchange, if there is one.
    fn keep(&mut self, slot: u32, taken: &Taken, buffer: Buffer) {
        let &Taken { at, range, proof, verifier } = taken;
        let (_, count) = range;
        // Durable at once; but a log of older writes must know what is newer.
        let nothing_to_keep = proof == Proof::Durable && self.kept.file(at).log.is_empty();
        let (committed, exchange) = match nothing_to_keep || count == 0 {
            true => (StableHow::FileSync, Some(buffer)),
            false => {
                let (kept, exchange) = self.kept.exchange(buffer, count as usize);
                let held = exchange.is_none().then_some(slot);
                self.kept.file(at).log.push(range, proof, held, kept);
                self.kept.press(at);
                (StableHow::Unstable, exchange)
            }
        };
        if exchange.is_some() {
            self.reply(slot, Ok(Output::Written { count, committed, verifier }), exchange);
        }
    }

    /// Begins to send again, once no write is under way.
    fn drained(&mut self, at: u32) {
        let kept = self.kept.file(at);
        let Phase::Draining { mark, verifier } = kept.phase else { return };
        if kept.writing > 0 {
            return;
        }
        kept.rounds += 1;
        let spare = kept.log.recover(mark, verifier);
        kept.phase = Phase::Resending { next: 0, out: 0, failed: None };
        for extent in spare {
            self.release(extent, Ok(verifier));
        }
        self.resend(at);
    }

    /// Sends lost extents again, as many as there are places.
    fn resend(&mut self, at: u32) {
        loop {
            let room = self.kept.own < OWN_MAX;
            let KeptFile { file, log, phase, rounds, .. } = self.kept.file(at);
            let Phase::Resending { next, out, .. } = phase else { return };
            let Some(index) = log.next_lost(*next) else {
                return if *out == 0 {
                    self.resent_all(at)
                };
            };
            if !room {
                return self.kept.want(at);
            }
            let Some(extent) = log.get_mut(index) else { return };
            let stable = match *rounds > UNSTABLE_ROUNDS_MAX {
                true => StableHow::FileSync,
                false => StableHow::Unstable,
            };
            (*next, *out) = (index + 1, *out + 1);
            let op = Op::Write { file: *file, offset: extent.offset, len: extent.len, stable };
            let buffer = extent.buffer.take();
            self.start_own(op, Role::Resend { index, progress: Progress::new(at) }, buffer);
        }
    }

    /// A write of ours has come back.
    fn resent(
        &mut self,
        slot: u32,
        index: usize,
        mut progress: Progress,
        result: Result<Output, Error>,
        mut buffer: Option<Buffer>,
    ) {
        let taken = self.take_part(slot, &mut progress, result, &mut buffer);
        let at = progress.at;
        let proof = match taken {
            Ok(None) => return self.go_on(slot, Role::Resend { index, progress }, buffer),
            Ok(Some(Taken { proof, .. })) => Ok(proof),
            Err(error) => Err(error),
        };
        self.end_own(slot);
        let KeptFile { log, phase, .. } = self.kept.file(at);
        let Phase::Resending { out, failed, .. } = phase else { return };
        *out -= 1;
        if let Some(extent) = log.get_mut(index) {
            extent.buffer = buffer;
            extent.proof = *proof.as_ref().unwrap_or(&Proof::Lost);
        }
        if let Err(error) = proof {
            failed.get_or_insert(error);
        }
        self.resend(at);
    }

    /// Everything that was lost has been sent again: whether it is durable now is asked anew.
    fn resent_all(&mut self, at: u32) {
        let kept = self.kept.file(at);
        let Phase::Resending { failed, .. } = std::mem::replace(&mut kept.phase, Phase::Idle)
        else {
            return;
        };
        while let Some(slot) = kept.gated.pop_front() {
            kept.writing += 1;
            self.waiting.push_back(slot);
        }
        match failed {
            Some(error) => self.failed(at, u64::MAX, &error),
            None => self.kept.want(at),
        }
    }

    /// The mount is gone: nobody waits any longer, and nothing is kept.
    pub(super) fn kept_gone(&mut self, error: &Error) {
        let Kept { own, files, .. } = std::mem::take(&mut self.kept);
        self.kept.own = own;
        for KeptFile { mut log, gated, syncs, .. } in files {
            for slot in gated.into_iter().chain(syncs.into_iter().map(|(_, slot)| slot)) {
                self.reply(slot, Err(error.clone()), None);
            }
            for Extent { held, buffer, .. } in log.take_held(u64::MAX) {
                if let Some(slot) = held {
                    self.reply(slot, Err(error.clone()), buffer);
                }
            }
        }
    }
}
