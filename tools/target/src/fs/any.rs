//! The file system chosen at start: one `match` instead of a virtual call per I/O.

use super::{
    Attr, CreateHow, DirEntry, DirFs, FileSystem, FsError, Handle, MemFs, ReadDone, SetAttr, Space,
    Time,
};

/// Either file system.
#[derive(Debug)]
pub enum AnyFs {
    /// In memory.
    Memory(MemFs),
    /// A directory of the host.
    Directory(DirFs),
}

macro_rules! delegate {
    ($self:ident, $fs:ident => $call:expr) => {
        match $self {
            AnyFs::Memory($fs) => $call,
            AnyFs::Directory($fs) => $call,
        }
    };
}

impl FileSystem for AnyFs {
    fn set_time(&mut self, now: Time) {
        delegate!(self, fs => fs.set_time(now))
    }
    fn root(&self) -> Handle {
        delegate!(self, fs => fs.root())
    }
    fn size_max(&self) -> u64 {
        delegate!(self, fs => fs.size_max())
    }
    fn getattr(&mut self, object: Handle) -> Result<Attr, FsError> {
        delegate!(self, fs => fs.getattr(object))
    }
    fn setattr(&mut self, object: Handle, set: &SetAttr) -> Result<(), FsError> {
        delegate!(self, fs => fs.setattr(object, set))
    }
    fn lookup(&mut self, dir: Handle, name: &[u8]) -> Result<Handle, FsError> {
        delegate!(self, fs => fs.lookup(dir, name))
    }
    fn readlink(&mut self, object: Handle) -> Result<Vec<u8>, FsError> {
        delegate!(self, fs => fs.readlink(object))
    }
    fn read(&mut self, file: Handle, offset: u64, dst: &mut [u8]) -> Result<ReadDone, FsError> {
        delegate!(self, fs => fs.read(file, offset, dst))
    }
    fn write(
        &mut self,
        file: Handle,
        offset: u64,
        src: &[u8],
        stable: bool,
    ) -> Result<(), FsError> {
        delegate!(self, fs => fs.write(file, offset, src, stable))
    }
    fn create(&mut self, dir: Handle, name: &[u8], how: &CreateHow) -> Result<Handle, FsError> {
        delegate!(self, fs => fs.create(dir, name, how))
    }
    fn mkdir(&mut self, dir: Handle, name: &[u8], set: &SetAttr) -> Result<Handle, FsError> {
        delegate!(self, fs => fs.mkdir(dir, name, set))
    }
    fn remove(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        delegate!(self, fs => fs.remove(dir, name))
    }
    fn rmdir(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        delegate!(self, fs => fs.rmdir(dir, name))
    }
    fn commit(&mut self, file: Handle) -> Result<(), FsError> {
        delegate!(self, fs => fs.commit(file))
    }
    fn crash(&mut self) {
        delegate!(self, fs => fs.crash())
    }
    fn space(&mut self) -> Result<Space, FsError> {
        delegate!(self, fs => fs.space())
    }
    fn readdir(
        &mut self,
        dir: Handle,
        cookie: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<bool, FsError> {
        delegate!(self, fs => fs.readdir(dir, cookie, visit))
    }
}
