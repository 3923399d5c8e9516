//! Directory listings of READDIRPLUS (RFC 1813 §3.3.17): validated once, then iterated over.

use super::{FATTR, Failed, FileHandle, HANDLE, NAME_MAX, POST_OP_ATTR, PostOpAttr};
use crate::codec::{codec, list};
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer, pad};

/// Most entries in one listing that are accepted: what 1 MiB of the smallest entries holds.
pub const ENTRIES_MAX: u32 = 1 << 15;

/// READDIRPLUS (RFC 1813 §3.3.17); the directory's attributes come with a failure.
pub type ReaddirplusRes<'a> = Result<ReaddirplusOk<'a>, Failed<PostOpAttr>>;

/// Part of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaddirplusOk<'a> {
    /// Attributes of the directory.
    pub attributes: PostOpAttr,
    /// Goes into the next call with the last cookie.
    pub verifier: [u8; 8],
    /// The entries.
    pub entries: Entries<'a>,
    /// The last of them is the directory's last.
    pub eof: bool,
}

codec!(borrowed ReaddirplusOk { attributes, verifier, entries, eof });

impl ReaddirplusOk<'_> {
    /// Bytes that `maxcount` leaves for entries once attributes, verifier and eof are counted. A
    /// server builds [`Entries`] with this limit.
    #[must_use]
    pub const fn entries_room(maxcount: u32) -> usize {
        (maxcount as usize).saturating_sub(POST_OP_ATTR + 8 + 4)
    }
}

/// One name in a directory (RFC 1813 §3.3.17, `entryplus3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Inode number.
    pub fileid: u64,
    /// Name, at most [`NAME_MAX`] bytes. Anything may be in it, a slash too: whoever makes paths
    /// of it checks.
    pub name: &'a [u8],
    /// Where to go on behind this entry.
    pub cookie: u64,
    /// Attributes of the file.
    pub attributes: PostOpAttr,
    /// The file.
    pub handle: Option<FileHandle>,
}

impl Entry<'_> {
    /// Bytes that the entry takes in a listing.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = if self.attributes.is_some() { FATTR } else { 0 };
        let handle = self.handle.as_ref().map_or(0, |handle| {
            let len = handle.as_bytes().len();
            HANDLE - super::HANDLE_MAX as usize + len + pad(len)
        });
        let name = 4 + self.name.len() + pad(self.name.len());
        4 + 8 + name + 8 + 4 + attributes + 4 + handle
    }
}

impl Encode for Entry<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u64(self.fileid)?;
        w.string(self.name)?;
        w.u64(self.cookie)?;
        w.value(&self.attributes)?;
        w.value(&self.handle)
    }
}

impl<'a> Decode<'a> for Entry<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            fileid: r.u64()?,
            name: r.string(NAME_MAX)?,
            cookie: r.u64()?,
            attributes: r.value()?,
            handle: r.value()?,
        })
    }
}

/// A validated list of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a> {
    /// Up to and including the word that says that no entry follows.
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Entries<'a> {
    /// An empty list.
    pub const EMPTY: Entries<'static> = Entries { bytes: &[0; 4], count: 0 };

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut r = Reader::new(self.bytes);
        std::iter::from_fn(move || r.option().ok().flatten())
    }
}

impl Encode for Entries<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.put(self.bytes)
    }
}

impl<'a> Decode<'a> for Entries<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (bytes, count) = list::<Entry<'a>>(r, ENTRIES_MAX, "count of entries")?;
        Ok(Self { bytes, count })
    }
}

/// Makes the entries of a reply, until a limit is reached.
#[derive(Debug)]
pub struct EntriesBuilder<'b> {
    bytes: &'b mut [u8],
    used: usize,
    count: u32,
}

/// Size of the word that ends a list.
const END: usize = 4;

impl<'b> EntriesBuilder<'b> {
    /// Starts a list of at most `bytes_max` bytes in `buffer`, see
    /// [`ReaddirplusOk::entries_room`]. `None` if not even an empty list fits.
    #[must_use]
    pub fn new(buffer: &'b mut [u8], bytes_max: usize) -> Option<Self> {
        let len = buffer.len().min(bytes_max);
        (len >= END).then(|| Self { bytes: &mut buffer[..len], used: 0, count: 0 })
    }

    /// Appends an entry; false if it does not fit, and then nothing has changed. If it was the
    /// first, the answer is NFS3ERR_TOOSMALL.
    ///
    /// # Panics
    /// The name is longer than [`NAME_MAX`], in debug builds: no client would take the listing.
    #[must_use]
    pub fn push(&mut self, entry: &Entry<'_>) -> bool {
        debug_assert!(entry.name.len() <= NAME_MAX as usize, "a name of {}", entry.name.len());
        let room = self.bytes.len() - END - self.used;
        if entry.size() > room || self.count == ENTRIES_MAX {
            return false;
        }
        let mut w = Writer::new(&mut self.bytes[self.used..]);
        if w.bool(true).and_then(|()| w.value(entry)).is_err() {
            return false;
        }
        self.used += w.position();
        self.count += 1;
        true
    }

    /// Whether nothing was appended.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends the list.
    #[must_use]
    pub fn finish(self) -> Entries<'b> {
        let Self { bytes, used, count } = self;
        bytes[used..used + END].fill(0);
        Entries { bytes: &bytes[..used + END], count }
    }
}
