//! The procedures other than READ and WRITE.

use wire::nfs3::{
    self, AccessArgs, AccessOk, CommitArgs, CommitOk, CreateArgs, CreateOk, DirOpArgs,
    EntriesBuilder, Entry, FsinfoArgs, FsinfoOk, FsstatArgs, FsstatOk, GetattrArgs, LookupOk,
    MkdirArgs, ReaddirplusArgs, ReaddirplusOk, SetattrArgs, Status, access, procedure, properties,
};
use wire::rpc::{CallHeader, RpcError};
use wire::xdr::Reader;

use super::nfs::{Answer, Failure, LISTING_BYTES_MAX, Nfs, Room, begin, decode, handle};
use super::nfs_types::{create_how, failed, fattr, set_attr, status_of, time, to_wire, wcc};
use crate::fs::{AnyFs, FileSystem, FsError, Handle, Kind};

/// Listings can be continued at any time, so their verifier says nothing.
const COOKIE_VERIFIER: [u8; 8] = [0; 8];

impl Nfs {
    /// Everything that is not a matter of speed.
    pub(super) fn other(
        &mut self,
        header: &CallHeader<'_>,
        args: Reader<'_>,
        room: &mut Room<'_>,
    ) -> Result<Answer, Failure> {
        let xid = header.xid;
        macro_rules! reply {
            ($method:ident $(, $more:expr)?) => {{
                let result = self.$method(&decode(args)? $(, $more)?);
                self.reply(xid, &result, room)
            }};
        }
        match header.procedure {
            procedure::NULL => {
                args.finish()?;
                let w = begin(xid, room)?;
                Ok(Answer { message: w.position(), payload: 0 })
            }
            procedure::GETATTR => reply!(getattr),
            procedure::SETATTR => reply!(setattr),
            procedure::LOOKUP => reply!(lookup),
            procedure::ACCESS => reply!(access),
            procedure::CREATE => reply!(create),
            procedure::MKDIR => reply!(mkdir),
            procedure::REMOVE => reply!(remove, FileSystem::remove),
            procedure::RMDIR => reply!(remove, FileSystem::rmdir),
            procedure::READDIRPLUS => self.readdirplus(xid, &decode(args)?, room),
            procedure::FSSTAT => reply!(fsstat),
            procedure::FSINFO => reply!(fsinfo),
            procedure::COMMIT => reply!(commit),
            _ => Err(RpcError::ProcUnavail.into()),
        }
    }

    fn getattr(&mut self, args: &GetattrArgs) -> nfs3::GetattrRes {
        let result = handle(&args.file).and_then(|file| self.fs.getattr(file).map_err(status_of));
        result.map(|attr| fattr(&attr)).or_else(|status| failed(status, ()))
    }

    fn setattr(&mut self, args: &SetattrArgs) -> nfs3::SetattrRes {
        let result = handle(&args.file).and_then(|file| {
            if let Some(guard) = args.guard {
                let attr = self.fs.getattr(file).map_err(status_of)?;
                if time(attr.ctime) != guard {
                    return Err(Status::NotSync);
                }
            }
            let set = set_attr(&args.attributes).ok_or(Status::Invalid)?;
            self.fs.setattr(file, &set).map_err(status_of)
        });
        let wcc = wcc(self.attributes(&args.file));
        result.map(|()| wcc).or_else(|status| failed(status, wcc))
    }

    fn lookup(&mut self, args: &DirOpArgs<'_>) -> nfs3::LookupRes {
        let result =
            handle(&args.dir).and_then(|dir| self.fs.lookup(dir, args.name).map_err(status_of));
        let dir_attributes = self.attributes(&args.dir);
        match result {
            Ok(found) => {
                let handle = to_wire(found);
                Ok(LookupOk { handle, attributes: self.attributes(&handle), dir_attributes })
            }
            Err(status) => failed(status, dir_attributes),
        }
    }

    /// Everybody may do everything that the kind of object allows.
    fn access(&mut self, args: &AccessArgs) -> nfs3::AccessRes {
        let result = handle(&args.file).and_then(|file| self.fs.getattr(file).map_err(status_of));
        let attr = match result {
            Ok(attr) => attr,
            Err(status) => return failed(status, None),
        };
        let common = access::READ | access::MODIFY | access::EXTEND;
        let allowed = match attr.kind {
            Kind::Directory => common | access::LOOKUP | access::DELETE,
            _ if attr.mode & 0o111 != 0 => common | access::EXECUTE,
            _ => common,
        };
        Ok(AccessOk { attributes: Some(fattr(&attr)), access: args.access & allowed })
    }

    fn create(&mut self, args: &CreateArgs<'_>) -> nfs3::CreateRes {
        let made = handle(&args.dir).and_then(|dir| {
            let how = create_how(&args.how).ok_or(Status::Invalid)?;
            self.fs.create(dir, args.name, &how).map_err(status_of)
        });
        self.created(&args.dir, made)
    }

    fn mkdir(&mut self, args: &MkdirArgs<'_>) -> nfs3::MkdirRes {
        let made = handle(&args.dir).and_then(|dir| {
            let set = set_attr(&args.attributes).ok_or(Status::Invalid)?;
            self.fs.mkdir(dir, args.name, &set).map_err(status_of)
        });
        self.created(&args.dir, made)
    }

    fn created(&mut self, dir: &nfs3::FileHandle, made: Result<Handle, Status>) -> nfs3::CreateRes {
        let dir_wcc = wcc(self.attributes(dir));
        match made {
            Ok(made) => {
                let handle = to_wire(made);
                let attributes = self.attributes(&handle);
                Ok(CreateOk { handle: Some(handle), attributes, dir_wcc })
            }
            Err(status) => failed(status, dir_wcc),
        }
    }

    fn remove(
        &mut self,
        args: &DirOpArgs<'_>,
        how: fn(&mut AnyFs, Handle, &[u8]) -> Result<(), FsError>,
    ) -> nfs3::RemoveRes {
        let result =
            handle(&args.dir).and_then(|dir| how(&mut self.fs, dir, args.name).map_err(status_of));
        let wcc = wcc(self.attributes(&args.dir));
        result.map(|()| wcc).or_else(|status| failed(status, wcc))
    }

    fn commit(&mut self, args: &CommitArgs) -> nfs3::CommitRes {
        let result = handle(&args.file).and_then(|file| self.fs.commit(file).map_err(status_of));
        let wcc = wcc(self.attributes(&args.file));
        let verifier = self.verifier.to_be_bytes();
        result.map(|()| CommitOk { wcc, verifier }).or_else(|status| failed(status, wcc))
    }

    fn fsstat(&mut self, args: &FsstatArgs) -> nfs3::FsstatRes {
        let attributes = self.attributes(&args.root);
        if attributes.is_none() {
            return failed(Status::Stale, None);
        }
        match self.fs.space() {
            Ok(space) => Ok(FsstatOk {
                attributes,
                total_bytes: space.total_bytes,
                free_bytes: space.free_bytes,
                available_bytes: space.free_bytes,
                total_files: space.total_files,
                free_files: space.free_files,
                available_files: space.free_files,
                invarsec: 0,
            }),
            Err(error) => failed(status_of(error), attributes),
        }
    }

    fn fsinfo(&mut self, args: &FsinfoArgs) -> nfs3::FsinfoRes {
        let attributes = self.attributes(&args.root);
        if attributes.is_none() {
            return failed(Status::Stale, None);
        }
        let (payload, listing) = (self.payload_bytes_max, LISTING_BYTES_MAX as u32);
        Ok(FsinfoOk {
            attributes,
            rtmax: payload,
            rtpref: payload,
            rtmult: 4096,
            wtmax: payload,
            wtpref: payload,
            wtmult: 4096,
            dtpref: listing,
            maxfilesize: self.fs.size_max(),
            time_delta: nfs3::Time { seconds: 0, nanoseconds: 1 },
            properties: properties::HOMOGENEOUS | properties::CAN_SET_TIME,
        })
    }

    fn readdirplus(
        &mut self,
        xid: u32,
        args: &ReaddirplusArgs,
        room: &mut Room<'_>,
    ) -> Result<Answer, Failure> {
        let attributes = self.attributes(&args.dir);
        let reply_room = nfs3::reply_max(procedure::READDIRPLUS);
        let fits = room.message.len().saturating_sub(reply_room);
        let bytes_max = ReaddirplusOk::entries_room(args.maxcount).min(fits);
        let mut buffer = std::mem::take(&mut self.entries);
        let listed = handle(&args.dir).and_then(|dir| {
            let builder = EntriesBuilder::new(&mut buffer, bytes_max);
            let mut builder = builder.ok_or(Status::TooSmall)?;
            let eof = self.fs.readdir(dir, args.cookie, &mut |entry| {
                builder.push(&Entry {
                    fileid: entry.fileid,
                    name: entry.name,
                    cookie: entry.cookie,
                    attributes: entry.object.map(|(_, attr)| fattr(&attr)),
                    handle: entry.object.map(|(handle, _)| to_wire(handle)),
                })
            });
            let eof = eof.map_err(status_of)?;
            if builder.is_empty() && !eof {
                return Err(Status::TooSmall);
            }
            Ok((builder.finish(), eof))
        });
        let result: nfs3::ReaddirplusRes<'_> = match listed {
            Ok((entries, eof)) => {
                Ok(ReaddirplusOk { attributes, verifier: COOKIE_VERIFIER, entries, eof })
            }
            Err(status) => failed(status, attributes),
        };
        let answer = self.reply(xid, &result, room);
        self.entries = buffer;
        answer
    }
}
