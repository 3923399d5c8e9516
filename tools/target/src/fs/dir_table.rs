//! What [`DirFs`](super::DirFs) remembers: which name each handle stands for, and the files it
//! keeps open.

use std::collections::HashMap;
use std::fs::File;

use super::{FsError, Handle};

/// Most objects remembered at once.
const NODES_MAX: usize = 1 << 20;
/// Most files kept open; the one unused for longest is closed for another.
const OPEN_FILES_MAX: usize = 256;
/// The exported directory itself.
pub(super) const ROOT: u64 = 0;

/// Device, inode number and time of birth: what an object is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) born: (i64, u32),
}

/// An object that has been looked up.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) parent: u64,
    pub(super) name: Box<[u8]>,
    pub(super) identity: Identity,
}

/// Handles and the names behind them. An `id` is never used twice.
#[derive(Debug)]
pub(super) struct Nodes {
    by_id: HashMap<u64, Node>,
    by_identity: HashMap<Identity, u64>,
    next_id: u64,
    generation: u32,
}

impl Nodes {
    pub(super) fn new(root: Identity, generation: u32) -> Self {
        let node = Node { parent: ROOT, name: Box::default(), identity: root };
        Self {
            by_id: HashMap::from([(ROOT, node)]),
            by_identity: HashMap::from([(root, ROOT)]),
            next_id: ROOT + 1,
            generation,
        }
    }

    pub(super) fn handle(&self, id: u64) -> Handle {
        Handle { id, generation: self.generation }
    }

    pub(super) fn get(&self, handle: Handle) -> Result<&Node, FsError> {
        if handle.generation != self.generation {
            return Err(FsError::Stale);
        }
        self.by_id.get(&handle.id).ok_or(FsError::Stale)
    }

    /// The handle of an object found as `name` in `parent`; the newest name is the one kept.
    pub(super) fn intern(
        &mut self,
        parent: u64,
        name: &[u8],
        identity: Identity,
    ) -> Result<Handle, FsError> {
        if let Some(&id) = self.by_identity.get(&identity) {
            if id != ROOT
                && let Some(node) = self.by_id.get_mut(&id)
            {
                node.parent = parent;
                if *node.name != *name {
                    node.name = name.into();
                }
            }
            return Ok(self.handle(id));
        }
        if self.by_id.len() == NODES_MAX {
            return Err(FsError::NoSpace);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.insert(id, Node { parent, name: name.into(), identity });
        self.by_identity.insert(identity, id);
        Ok(self.handle(id))
    }

    pub(super) fn forget(&mut self, handle: Handle) {
        if handle.id != ROOT
            && let Some(node) = self.by_id.remove(&handle.id)
        {
            self.by_identity.remove(&node.identity);
        }
    }

    /// Names from the root down to `handle`.
    pub(super) fn path(&self, handle: Handle) -> Result<Vec<&[u8]>, FsError> {
        let mut names = Vec::new();
        let mut node = self.get(handle)?;
        let mut id = handle.id;
        while id != ROOT {
            // A loop needs a directory moved below itself by somebody else meanwhile.
            if names.len() > NODES_MAX {
                return Err(FsError::Stale);
            }
            names.push(&*node.name);
            id = node.parent;
            node = self.by_id.get(&id).ok_or(FsError::Stale)?;
        }
        names.reverse();
        Ok(names)
    }
}

/// Files kept open between reads and writes.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    by_id: HashMap<u64, OpenFile>,
    uses: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    writable: bool,
    last_use: u64,
}

impl OpenFiles {
    /// The file, if it is open with at least these rights.
    pub(super) fn get(&mut self, id: u64, writable: bool) -> Option<&File> {
        self.uses += 1;
        let open = self.by_id.get_mut(&id).filter(|open| open.writable || !writable)?;
        open.last_use = self.uses;
        Some(&open.file)
    }

    pub(super) fn insert(&mut self, id: u64, file: File, writable: bool) -> &File {
        if self.by_id.len() == OPEN_FILES_MAX && !self.by_id.contains_key(&id) {
            let oldest = self.by_id.iter().min_by_key(|(_, open)| open.last_use);
            if let Some((&oldest, _)) = oldest {
                self.by_id.remove(&oldest);
            }
        }
        let open = OpenFile { file, writable, last_use: self.uses };
        &self.by_id.entry(id).insert_entry(open).into_mut().file
    }

    pub(super) fn close(&mut self, id: u64) {
        self.by_id.remove(&id);
    }
}
