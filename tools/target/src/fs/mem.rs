//! A file system in memory, with a capacity.
//!
//! Objects live in numbered slots; a slot's generation goes into the handle, so that a handle to
//! a removed file is stale even after the slot has a new file. Reading and overwriting data that
//! is there allocates nothing.

use super::mem_names::{COOKIE_PARENT, COOKIE_SELF, Names};
use super::pages::{FILE_BYTES_MAX, PAGE_BYTES, PageMap, Pages};
use super::unstable::Durable;
use super::{
    Attr, CreateHow, DirEntry, FileSystem, FsError, Handle, Kind, ReadDone, SetAttr, SetTime,
    Space, Time, check_new_name,
};

/// Most files and directories at once.
const OBJECTS_MAX: usize = 1 << 20;
const ROOT: u64 = 0;

/// A file system in memory.
#[derive(Debug)]
pub struct MemFs {
    slots: Vec<Slot>,
    vacant: Vec<u64>,
    pages: Pages,
    now: Time,
    fsid: u64,
    /// A crash loses what is not durable; otherwise everything always is.
    loses_unstable: bool,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    object: Option<Object>,
}

#[derive(Debug)]
struct Object {
    mode: u32,
    uid: u32,
    gid: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
    body: Body,
}

#[derive(Debug)]
enum Body {
    File { size: u64, map: PageMap, exclusive: Option<[u8; 8]>, durable: Option<Durable> },
    Directory(Directory),
}

#[derive(Debug)]
struct Directory {
    parent: u64,
    names: Names,
    subdirectories: u32,
}

impl MemFs {
    /// An empty file system that stores up to `capacity_bytes`. `instance` sets the handles of one
    /// run apart from those of another, whose files are gone.
    pub fn new(capacity_bytes: u64, instance: u32) -> Self {
        let mut fs = Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            pages: Pages::new(capacity_bytes),
            now: Time::default(),
            fsid: u64::from(instance),
            loses_unstable: false,
        };
        let root = fs.new_object(0o777, Body::Directory(Directory::new(ROOT)));
        fs.slots.push(Slot { generation: instance, object: Some(root) });
        fs
    }

    /// The same, losing in a crash what was written unstable. Costs a copy of each page written.
    #[must_use]
    pub fn losing_unstable(self) -> Self {
        Self { loses_unstable: true, ..self }
    }

    fn new_object(&self, mode: u32, body: Body) -> Object {
        let now = self.now;
        Object { mode, uid: 0, gid: 0, atime: now, mtime: now, ctime: now, body }
    }

    fn slot(&self, handle: Handle) -> Result<usize, FsError> {
        let index = usize::try_from(handle.id).map_err(|_| FsError::Stale)?;
        match self.slots.get(index) {
            Some(slot) if slot.generation == handle.generation && slot.object.is_some() => {
                Ok(index)
            }
            _ => Err(FsError::Stale),
        }
    }

    fn object(&self, handle: Handle) -> Result<&Object, FsError> {
        let index = self.slot(handle)?;
        self.slots[index].object.as_ref().ok_or(FsError::Stale)
    }

    fn object_mut(&mut self, handle: Handle) -> Result<&mut Object, FsError> {
        let index = self.slot(handle)?;
        self.slots[index].object.as_mut().ok_or(FsError::Stale)
    }

    fn directory(&self, handle: Handle) -> Result<&Directory, FsError> {
        match &self.object(handle)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File { .. } => Err(FsError::NotDirectory),
        }
    }

    fn attr(&self, handle: Handle) -> Result<Attr, FsError> {
        let object = self.object(handle)?;
        let (kind, nlink, size, used) = match &object.body {
            Body::File { size, map, .. } => (Kind::File, 1, *size, map.resident_bytes()),
            Body::Directory(d) => (Kind::Directory, 2 + d.subdirectories, 4096, 4096),
        };
        Ok(Attr {
            kind,
            mode: object.mode,
            nlink,
            uid: object.uid,
            gid: object.gid,
            size,
            used,
            fsid: self.fsid,
            fileid: handle.id + 1,
            atime: object.atime,
            mtime: object.mtime,
            ctime: object.ctime,
        })
    }

    fn handle_of(&self, id: u64) -> Result<Handle, FsError> {
        let slot = self.slots.get(id as usize).ok_or(FsError::Stale)?;
        Ok(Handle { id, generation: slot.generation })
    }

    /// Puts `object` into a slot and its name into `dir`; nothing changes when it fails.
    fn link(&mut self, dir: Handle, name: &[u8], object: Object) -> Result<Handle, FsError> {
        self.directory(dir)?;
        let subdirectory = matches!(object.body, Body::Directory(_));
        let id = match self.vacant.pop() {
            Some(id) => id,
            None if self.slots.len() == OBJECTS_MAX => return Err(FsError::NoSpace),
            None => {
                self.slots.push(Slot { generation: self.slots[0].generation, object: None });
                self.slots.len() as u64 - 1
            }
        };
        self.slots[id as usize].object = Some(object);
        let now = self.now;
        let parent = self.object_mut(dir)?;
        (parent.mtime, parent.ctime) = (now, now);
        if let Body::Directory(directory) = &mut parent.body {
            directory.names.insert(name, id);
            directory.subdirectories += u32::from(subdirectory);
        }
        self.handle_of(id)
    }

    /// Takes `name` out of `dir` and frees the object: there are no hard links.
    fn unlink(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        let now = self.now;
        let parent = self.object_mut(dir)?;
        (parent.mtime, parent.ctime) = (now, now);
        let Body::Directory(directory) = &mut parent.body else {
            return Err(FsError::NotDirectory);
        };
        let id = directory.names.remove(name).ok_or(FsError::NotFound)?;
        let slot = &mut self.slots[id as usize];
        slot.generation = slot.generation.wrapping_add(1);
        match slot.object.take().map(|object| object.body) {
            Some(Body::File { mut map, durable, .. }) => {
                map.truncate(0, &mut self.pages);
                if let Some(durable) = durable {
                    durable.forget(&mut self.pages);
                }
            }
            Some(Body::Directory(_)) => {
                if let Body::Directory(directory) = &mut self.object_mut(dir)?.body {
                    directory.subdirectories -= 1;
                }
            }
            None => {}
        }
        self.vacant.push(id);
        Ok(())
    }

    fn set_size(&mut self, file: Handle, new_size: u64) -> Result<(), FsError> {
        self.commit(file)?;
        let index = self.slot(file)?;
        let Some(Object { body: Body::File { size, map, .. }, .. }) = &mut self.slots[index].object
        else {
            return Err(FsError::IsDirectory);
        };
        if new_size > FILE_BYTES_MAX {
            return Err(FsError::TooLarge);
        }
        if new_size < *size {
            let keep = new_size.div_ceil(PAGE_BYTES as u64) as usize;
            map.truncate(keep, &mut self.pages);
            // Growing again must show zeros, so the rest of the last page is cleared now.
            let tail = (new_size % PAGE_BYTES as u64) as usize;
            if tail > 0
                && let Some(page) = map.get(keep - 1)
            {
                self.pages.bytes_mut(page)[tail..].fill(0);
            }
        }
        *size = new_size;
        Ok(())
    }
}

impl Directory {
    fn new(parent: u64) -> Self {
        Self { parent, names: Names::new(), subdirectories: 0 }
    }
}

/// The part of one page that a range of a file covers.
struct Piece {
    page: usize,
    within: usize,
    len: usize,
}

/// Cuts `len` bytes at `offset` at page boundaries.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE_BYTES as u64) as usize;
        let piece = Piece {
            page: (at / PAGE_BYTES as u64) as usize,
            within,
            len: (PAGE_BYTES - within).min(len - done),
        };
        done += piece.len;
        (piece.len > 0).then_some(piece)
    })
}

impl FileSystem for MemFs {
    fn set_time(&mut self, now: Time) {
        self.now = now;
    }

    fn root(&self) -> Handle {
        Handle { id: ROOT, generation: self.slots[ROOT as usize].generation }
    }

    fn size_max(&self) -> u64 {
        FILE_BYTES_MAX
    }

    fn getattr(&mut self, handle: Handle) -> Result<Attr, FsError> {
        self.attr(handle)
    }

    fn setattr(&mut self, handle: Handle, set: &SetAttr) -> Result<(), FsError> {
        if let Some(size) = set.size {
            self.set_size(handle, size)?;
        }
        let now = self.now;
        let object = self.object_mut(handle)?;
        object.mode = set.mode.map_or(object.mode, |mode| mode & 0o7777);
        object.uid = set.uid.unwrap_or(object.uid);
        object.gid = set.gid.unwrap_or(object.gid);
        if set.size.is_some() {
            object.mtime = now;
        }
        object.atime = set.atime.apply(object.atime, now);
        object.mtime = set.mtime.apply(object.mtime, now);
        object.ctime = now;
        Ok(())
    }

    fn lookup(&mut self, dir: Handle, name: &[u8]) -> Result<Handle, FsError> {
        let directory = self.directory(dir)?;
        match name {
            b"." => Ok(dir),
            b".." => self.handle_of(directory.parent),
            _ if name.len() > super::NAME_BYTES_MAX => Err(FsError::NameTooLong),
            _ => self.handle_of(directory.names.get(name).ok_or(FsError::NotFound)?),
        }
    }

    fn readlink(&mut self, object: Handle) -> Result<Vec<u8>, FsError> {
        self.object(object)?;
        Err(FsError::Invalid)
    }

    fn read(&mut self, file: Handle, offset: u64, dst: &mut [u8]) -> Result<ReadDone, FsError> {
        let Body::File { size, map, .. } = &self.object(file)?.body else {
            return Err(FsError::IsDirectory);
        };
        let left = size.saturating_sub(offset);
        let count = left.min(dst.len() as u64) as usize;
        let mut done = 0;
        for piece in pieces(offset, count) {
            let to = &mut dst[done..done + piece.len];
            match map.get(piece.page) {
                Some(page) => {
                    let from = &self.pages.bytes(page)[piece.within..piece.within + piece.len];
                    to.copy_from_slice(from);
                }
                None => to.fill(0),
            }
            done += piece.len;
        }
        Ok(ReadDone { count: count as u32, eof: count as u64 == left })
    }

    fn write(
        &mut self,
        file: Handle,
        offset: u64,
        src: &[u8],
        stable: bool,
    ) -> Result<(), FsError> {
        let index = self.slot(file)?;
        let now = self.now;
        let Some(object) = &mut self.slots[index].object else {
            return Err(FsError::Stale);
        };
        let Body::File { size, map, durable, .. } = &mut object.body else {
            return Err(FsError::IsDirectory);
        };
        let end = offset.checked_add(src.len() as u64).ok_or(FsError::TooLarge)?;
        if end > FILE_BYTES_MAX {
            return Err(FsError::TooLarge);
        }
        let mut done = 0;
        for piece in pieces(offset, src.len()) {
            if self.loses_unstable
                && !durable.get_or_insert_with(|| Durable::new(*size)).hold(
                    piece.page,
                    map,
                    &mut self.pages,
                )
            {
                break;
            }
            let Some(page) = map.get_or_take(piece.page, &mut self.pages) else {
                break;
            };
            let to = &mut self.pages.bytes_mut(page)[piece.within..piece.within + piece.len];
            to.copy_from_slice(&src[done..done + piece.len]);
            done += piece.len;
        }
        if done > 0 {
            // Also when space ran out on the way: nothing that was stored may lie behind the end,
            // where growing the file would uncover it.
            *size = (*size).max(offset + done as u64);
            (object.mtime, object.ctime) = (now, now);
        }
        if stable {
            self.commit(file)?;
        }
        if done == src.len() { Ok(()) } else { Err(FsError::NoSpace) }
    }

    fn create(&mut self, dir: Handle, name: &[u8], how: &CreateHow) -> Result<Handle, FsError> {
        check_new_name(name)?;
        if let Some(id) = self.directory(dir)?.names.get(name) {
            let found = self.handle_of(id)?;
            let (is_file, made_with) = match &self.object(found)?.body {
                Body::File { exclusive, .. } => (true, *exclusive),
                Body::Directory(_) => (false, None),
            };
            return match how {
                CreateHow::Unchecked(set) if is_file => {
                    // RFC 1813 §3.3.8: of an existing file only the size is set.
                    let set = SetAttr { size: set.size, ..SetAttr::default() };
                    if set.size.is_some() {
                        self.setattr(found, &set)?;
                    }
                    Ok(found)
                }
                CreateHow::Exclusive(verifier) if made_with == Some(*verifier) => Ok(found),
                _ => Err(FsError::Exists),
            };
        }
        let (set, exclusive) = match how {
            CreateHow::Unchecked(set) | CreateHow::Guarded(set) => (*set, None),
            CreateHow::Exclusive(verifier) => (SetAttr::default(), Some(*verifier)),
        };
        if set.size.is_some_and(|size| size > FILE_BYTES_MAX) {
            return Err(FsError::TooLarge);
        }
        let body = Body::File { size: 0, map: PageMap::default(), exclusive, durable: None };
        let file = self.link(dir, name, self.new_object(0o644, body))?;
        self.setattr(file, &set)?;
        Ok(file)
    }

    fn mkdir(&mut self, dir: Handle, name: &[u8], set: &SetAttr) -> Result<Handle, FsError> {
        check_new_name(name)?;
        if self.directory(dir)?.names.get(name).is_some() {
            return Err(FsError::Exists);
        }
        let set = SetAttr { size: None, ..*set };
        let body = Body::Directory(Directory::new(dir.id));
        let made = self.link(dir, name, self.new_object(0o755, body))?;
        self.setattr(made, &set)?;
        Ok(made)
    }

    fn remove(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        check_new_name(name).map_err(|_| FsError::NotFound)?;
        let found = self.lookup(dir, name)?;
        match self.object(found)?.body {
            Body::Directory(_) => Err(FsError::IsDirectory),
            Body::File { .. } => self.unlink(dir, name),
        }
    }

    fn rmdir(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        check_new_name(name).map_err(|_| FsError::Invalid)?;
        let found = self.lookup(dir, name)?;
        if !self.directory(found)?.names.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.unlink(dir, name)
    }

    fn commit(&mut self, file: Handle) -> Result<(), FsError> {
        match &mut self.object_mut(file)?.body {
            Body::File { durable, .. } => {
                if let Some(durable) = durable.take() {
                    durable.forget(&mut self.pages);
                }
                Ok(())
            }
            Body::Directory(_) => Err(FsError::IsDirectory),
        }
    }

    fn crash(&mut self) {
        for object in self.slots.iter_mut().filter_map(|slot| slot.object.as_mut()) {
            if let Body::File { size, map, durable, .. } = &mut object.body
                && let Some(durable) = durable.take()
            {
                *size = durable.restore(map, &mut self.pages);
            }
        }
    }

    fn space(&mut self) -> Result<Space, FsError> {
        let objects = self.slots.len() - self.vacant.len();
        Ok(Space {
            total_bytes: self.pages.capacity_bytes(),
            free_bytes: self.pages.free_bytes(),
            total_files: OBJECTS_MAX as u64,
            free_files: (OBJECTS_MAX - objects) as u64,
        })
    }

    fn readdir(
        &mut self,
        dir: Handle,
        cookie: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<bool, FsError> {
        let parent = self.handle_of(self.directory(dir)?.parent)?;
        for (at, name, object) in
            [(COOKIE_SELF, b".".as_slice(), dir), (COOKIE_PARENT, b"..", parent)]
        {
            let attr = self.getattr(object)?;
            let entry =
                DirEntry { name, fileid: attr.fileid, cookie: at, object: Some((object, attr)) };
            if cookie < at && !visit(entry) {
                return Ok(false);
            }
        }
        let mut after = cookie.max(COOKIE_PARENT);
        let fs = &*self;
        while let Some((cookie, name, id)) = fs.directory(dir)?.names.after(after) {
            let object = fs.handle_of(id)?;
            let attr = fs.attr(object)?;
            let entry =
                DirEntry { name, fileid: attr.fileid, cookie, object: Some((object, attr)) };
            if !visit(entry) {
                return Ok(false);
            }
            after = cookie;
        }
        Ok(true)
    }
}

impl SetTime {
    fn apply(self, old: Time, now: Time) -> Time {
        match self {
            Self::Keep => old,
            Self::Now => now,
            Self::To(time) => time,
        }
    }
}
