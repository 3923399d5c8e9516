//! What an actor does next.

use client::{File, Op};
use wire::nfs3::{CreateHow, Sattr, StableHow};

use super::memory::Room;
use super::ops::{Drawn, KINDS, Kind, Pending};
use super::{Actor, Phase};
use crate::model::{Access, Name};
use crate::shape::log;

/// Tries to find something to do: what is drawn may touch what others are busy with.
const TRIES: u32 = 4;
/// ACCESS bits asked for.
const ACCESS_BITS: u32 = 0x3f;

impl Actor {
    /// What the phase asks for next; `None` when nothing can be begun now.
    pub(super) fn next(&mut self) -> Option<Drawn> {
        match self.phase {
            Phase::Preparing if self.pending.is_empty() => Some(self.open()),
            Phase::Working if self.left > 0 => {
                let drawn = self.draw()?;
                self.left -= 1;
                Some(drawn)
            }
            Phase::Settling if self.pending.is_empty() => {
                let kept = self.files.iter().position(crate::model::ModelFile::is_kept)?;
                Some(self.sync_of(kept))
            }
            Phase::Checking => self.read_back(),
            _ => None,
        }
    }

    fn open(&self) -> Drawn {
        let index = self.files.len();
        let path = format!("m{}f{index}", self.index);
        Drawn::bare(Op::Open { path, create: Some(0o644) }, Pending::Open { index })
    }

    fn draw(&mut self) -> Option<Drawn> {
        let total: u32 = self.shape.mix.iter().sum();
        for _ in 0..TRIES {
            let mut at = self.rng.u32(0..total);
            let kind = KINDS.iter().zip(self.shape.mix).find(|(_, weight)| {
                let hit = at < *weight;
                at = at.wrapping_sub(*weight);
                hit
            });
            let drawn = match kind.map_or(Kind::Getattr, |(kind, _)| *kind) {
                Kind::Write => self.write(),
                Kind::Read => self.read(),
                Kind::WriteBack => self.write_back(),
                Kind::Sync => Some(self.sync()),
                Kind::Getattr => Some(self.getattr()),
                Kind::Resize => self.resize(),
                Kind::Lookup => self.lookup(),
                Kind::Create => self.create(),
                Kind::Remove => self.remove(),
                Kind::Commit => Some(self.commit()),
                Kind::List => self.list(),
                Kind::Ask => Some(self.ask()),
            };
            if drawn.is_some() {
                return drawn;
            }
        }
        // Perhaps nothing that it may touch is known any more, and nothing is to be waited for.
        self.pending.is_empty().then(|| self.getattr())
    }

    fn any_file(&mut self) -> usize {
        self.rng.usize(0..self.files.len())
    }

    fn extent(&mut self) -> (usize, u64, u32) {
        let limits = self.client.limits(self.mount);
        let limit = limits.map_or(1, |limits| limits.read_max.min(limits.write_max));
        let len = match self.rng.u8(0..8) {
            0 => 0,
            1 => self.rng.u32(1..=8),
            2 => limit,
            3 => 4096.min(limit),
            _ => log(&mut self.rng, 1, limit.into()) as u32,
        };
        (self.any_file(), self.rng.u64(0..self.shape.file_len), len)
    }

    /// Claims bytes for the next operation.
    fn claims(&mut self, file: usize, offset: u64, len: u32, access: Access) -> bool {
        self.files[file].claim(self.next_tag, offset..offset + u64::from(len), access)
    }

    fn bytes(&mut self, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// Room for bytes that were claimed; without it they are given up.
    fn room(&mut self, file: usize, len: u32) -> Option<Room> {
        let room = self.memory.room(&mut self.rng, len);
        match &room {
            None => {
                self.seen.dry += 1;
                self.files[file].release(self.next_tag);
            }
            Some(Room::Pieces(..)) => self.seen.in_pieces += 1,
            Some(Room::Buffer(buffer)) => self.seen.own += u64::from(self.memory.owns(buffer)),
        }
        room
    }

    fn write(&mut self) -> Option<Drawn> {
        let (file, offset, len) = self.extent();
        // What the client may write once more would go over what is written now.
        if self.files[file].is_kept() || !self.claims(file, offset, len, Access::Exclusive) {
            return None;
        }
        let room = self.room(file, len)?;
        let data = self.bytes(len);
        let stable = match self.rng.u8(0..3) {
            // Whoever uses it compares verifiers, or loses it in a restart.
            0 if !self.allowed.loses => StableHow::Unstable,
            1 => StableHow::DataSync,
            _ => StableHow::FileSync,
        };
        let (buffer, pieces) = match room {
            Room::Buffer(mut buffer) => {
                buffer[..len as usize].copy_from_slice(&data);
                (Some(buffer), None)
            }
            Room::Pieces(mut pieces, _) => {
                pieces.copy_from(&data);
                (None, Some(pieces))
            }
        };
        let op = Op::Write { file: self.files[file].file, offset, len, stable };
        Some(Drawn { op, buffer, pieces, pending: Pending::Write { file, offset, data, stable } })
    }

    fn write_back(&mut self) -> Option<Drawn> {
        let (file, offset, len) = self.extent();
        if !self.claims(file, offset, len, Access::Exclusive) {
            return None;
        }
        let Some(mut buffer) = self.memory.buffer(&mut self.rng, len) else {
            self.files[file].release(self.next_tag);
            return None;
        };
        let data = self.bytes(len);
        buffer[..len as usize].copy_from_slice(&data);
        self.files[file].keeps();
        let op = Op::WriteBack { file: self.files[file].file, offset, len };
        let pending = Pending::WriteBack { file, offset, data };
        Some(Drawn { op, buffer: Some(buffer), pieces: None, pending })
    }

    fn sync(&mut self) -> Drawn {
        let file = self.any_file();
        self.sync_of(file)
    }

    fn sync_of(&self, file: usize) -> Drawn {
        let mark = self.files[file].mark();
        Drawn::bare(Op::Sync { file: self.files[file].file }, Pending::Sync { file, mark })
    }

    fn read(&mut self) -> Option<Drawn> {
        let (file, offset, len) = self.extent();
        // Between a restart and its repair the server holds what it held before.
        if self.allowed.loses && self.files[file].is_kept() {
            return None;
        }
        self.read_of(file, offset, len)
    }

    fn read_of(&mut self, file: usize, offset: u64, len: u32) -> Option<Drawn> {
        if !self.claims(file, offset, len, Access::Shared) {
            return None;
        }
        let room = self.room(file, len)?;
        let (buffer, pieces, layout) = match room {
            Room::Buffer(buffer) => (Some(buffer), None, Vec::new()),
            Room::Pieces(pieces, layout) => (None, Some(pieces), layout),
        };
        let op = Op::Read { file: self.files[file].file, offset, len };
        Some(Drawn { op, buffer, pieces, pending: Pending::Read { file, offset, len, layout } })
    }

    /// The end of the run: everything that is in the files.
    fn read_back(&mut self) -> Option<Drawn> {
        let limit = self.client.limits(self.mount)?.read_max;
        while let Some((file, offset)) = self.unread {
            if file == self.files.len() {
                self.unread = None;
                break;
            }
            let whole = offset >= self.files[file].size();
            let drawn = if whole { None } else { self.read_of(file, offset, limit) };
            // Bytes that nobody knows, or no buffer: then there are answers to be waited for.
            if drawn.is_none() && !whole && !self.pending.is_empty() {
                return None;
            }
            let next = offset + u64::from(limit);
            self.unread = Some(if whole { (file + 1, 0) } else { (file, next) });
            if drawn.is_some() {
                return drawn;
            }
        }
        None
    }

    fn getattr(&mut self) -> Drawn {
        let file = self.any_file();
        let quiet = !self.pending.values().any(Pending::changes_size);
        let known = quiet && !(self.allowed.loses && self.files[file].is_kept());
        let sizes = known.then_some(self.sizes);
        Drawn::bare(Op::Getattr { file: self.files[file].file }, Pending::Getattr { file, sizes })
    }

    fn resize(&mut self) -> Option<Drawn> {
        let file = self.any_file();
        if self.files[file].is_kept()
            || !self.files[file].claim(self.next_tag, 0..u64::MAX, Access::Exclusive)
        {
            return None;
        }
        let size = self.rng.u64(0..=self.shape.file_len);
        let attributes = Sattr { size: Some(size), ..Sattr::default() }.into();
        let op = Op::Setattr { file: self.files[file].file, attributes };
        Some(Drawn::bare(op, Pending::Resize { file, size }))
    }

    fn idle_name(&mut self) -> Option<usize> {
        let name = self.rng.usize(0..self.names.len());
        let (state, busy) = self.names[name];
        (!busy && state != Name::Unknown).then_some(name)
    }

    /// Long names make long calls.
    pub(super) fn named(&self, name: usize) -> String {
        let tail = "x".repeat(if name % 2 == 1 { self.shape.name_len } else { 0 });
        format!("m{}n{name}{tail}", self.index)
    }

    fn root(&self) -> Option<File> {
        self.client.root(self.mount)
    }

    fn lookup(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let op = Op::Lookup { dir: self.root()?, name: self.named(name) };
        Some(Drawn::bare(op, Pending::Lookup { name }))
    }

    fn create(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let how = CreateHow::Guarded(Sattr { mode: Some(0o600), ..Sattr::default() }).into();
        let op = Op::Create { dir: self.root()?, name: self.named(name), how };
        let retransmissions = self.counters().retransmissions;
        Some(Drawn::bare(op, Pending::Create { name, retransmissions }))
    }

    fn remove(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let op = Op::Remove { dir: self.root()?, name: self.named(name) };
        let retransmissions = self.counters().retransmissions;
        Some(Drawn::bare(op, Pending::Remove { name, retransmissions }))
    }

    fn commit(&mut self) -> Drawn {
        let file = self.any_file();
        let op = Op::Commit { file: self.files[file].file, offset: 0, count: 0 };
        Drawn::bare(op, Pending::Commit)
    }

    fn list(&mut self) -> Option<Drawn> {
        // Names must hold still for as long as it takes.
        if self.names.iter().any(|(_, busy)| *busy) {
            return None;
        }
        let buffer = self.memory.pooled(0)?;
        let op = Op::Readdirplus { dir: self.root()?, cookie: 0, verifier: [0; 8] };
        Some(Drawn { op, buffer: Some(buffer), pieces: None, pending: Pending::List })
    }

    fn ask(&mut self) -> Drawn {
        let at = self.any_file();
        let file = self.files[at].file;
        let op = match self.rng.u8(0..4) {
            0 => Op::Null,
            1 => Op::Access { file, access: ACCESS_BITS },
            2 => Op::Fsstat { file },
            _ => Op::Fsinfo { file },
        };
        Drawn::bare(op, Pending::Ask)
    }
}
