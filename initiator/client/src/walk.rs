//! Opening by path: one LOOKUP per component, and a CREATE at the end if it is wanted.

use wire::nfs3::{self, CreateHow, FileHandle, Sattr, Status, procedure as p};
use wire::xdr::{Full, Reader, Writer};

use crate::Error;
use crate::op::Output;
use crate::procedure::take;

/// How far a walk has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Where it stands.
    at: FileHandle,
    /// Bytes of the path that are behind it.
    walked: usize,
    /// The last component is not there and is to be made.
    creating: bool,
}

impl Walk {
    /// At the root of the mount.
    pub(crate) fn new(root: FileHandle) -> Self {
        Self { at: root, walked: 0, creating: false }
    }

    /// The next component and where it ends; `None` at the end of the path.
    fn next<'p>(&self, path: &'p str) -> Option<(&'p str, usize)> {
        let rest = &path[self.walked..];
        let start = rest.find(|c| c != '/')?;
        let len = rest[start..].find('/').unwrap_or(rest.len() - start);
        Some((&rest[start..start + len], self.walked + start + len))
    }

    pub(crate) fn procedure(&self, path: &str, create: bool) -> (u32, &'static str) {
        match self.next(path) {
            None => (p::GETATTR, "GETATTR"),
            Some(_) if self.creating && create => (p::CREATE, "CREATE"),
            Some(_) => (p::LOOKUP, "LOOKUP"),
        }
    }

    pub(crate) fn encode(
        &self,
        path: &str,
        create: Option<u32>,
        w: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let Some((name, _)) = self.next(path) else {
            return w.value(&nfs3::GetattrArgs { file: self.at });
        };
        let (dir, name) = (self.at, name.as_bytes());
        match create {
            Some(mode) if self.creating => {
                // UNCHECKED: somebody may have made it meanwhile, and that is as good.
                let how = CreateHow::Unchecked(Sattr { mode: Some(mode), ..Sattr::default() });
                w.value(&nfs3::CreateArgs { dir, name, how })
            }
            _ => w.value(&nfs3::LookupArgs { dir, name }),
        }
    }

    /// Takes the result of the present step. What was opened, or there is another step.
    pub(crate) fn advance(
        &mut self,
        path: &str,
        create: Option<u32>,
        procedure: u32,
        r: &mut Reader<'_>,
    ) -> Result<Option<Output>, Box<Error>> {
        let opened = |handle, attributes| Some(Output::opened(handle, attributes));
        let Some((_, end)) = self.next(path) else {
            let attributes = Some(take::<nfs3::GetattrRes, _, _>(r, "GETATTR")?);
            return Ok(opened(self.at, attributes));
        };
        let last = path[end..].chars().all(|c| c == '/');
        let named = |mut error: Box<Error>| {
            if let Error::Nfs { path: of, .. } = &mut *error {
                *of = Some(path[..end].to_owned());
            }
            error
        };
        if procedure == p::CREATE {
            self.creating = false;
            let ok = take::<nfs3::CreateRes, _, _>(r, "CREATE").map_err(named)?;
            // A server may create without telling the handle (RFC 1813 §3.3.8): look it up then.
            return Ok(ok.handle.and_then(|handle| opened(handle, ok.attributes)));
        }
        match take::<nfs3::LookupRes, _, _>(r, "LOOKUP") {
            Ok(ok) if last => Ok(opened(ok.handle, ok.attributes)),
            Ok(ok) => {
                self.at = ok.handle;
                self.walked = end;
                Ok(None)
            }
            Err(error) => {
                let none = matches!(*error, Error::Nfs { status: Status::NoEnt, .. });
                if none && last && create.is_some() {
                    self.creating = true;
                    return Ok(None);
                }
                Err(named(error))
            }
        }
    }
}
