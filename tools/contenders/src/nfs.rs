//! The bare loop's calls: NFS over RPC-over-RDMA, built once.

use anyhow::{Context, Result, bail};
use verbs::Provider;
use wire::nfs3::{self, FileHandle, StableHow};
use wire::rpc::CallTemplate;
use wire::rpcrdma::private_data::PrivateData;
use wire::rpcrdma::{Emit, EmitKind, HEADER_MIN, ReadSegment, Segment};
use wire::xdr::Writer;

use crate::caller::{Caller, Prebuilt};
use crate::end::{End, HEADER_LEN, Layout};
use crate::meter::Outcome;
use crate::site::Site;
use crate::work::{Kind, Way, Work};

/// What a READ's reply takes inline besides the data: transport and RPC header, status,
/// attributes, count, end of file, length.
const READ_REPLY: usize = HEADER_MIN + 24 + 4 + 88 + 12;
/// Credits to ask for.
const CREDITS: u32 = 128;

/// The bare loop against a server.
pub(crate) fn run<P: Provider>(provider: &P, url: &str, work: &Work) -> Result<Outcome> {
    let site = Site::find(url)?;
    let (dir, file) = site.open(provider, work)?;
    run_on(provider, &site, dir, file, work)
}

/// The same once the file is known.
pub(crate) fn run_on<P: Provider>(
    provider: &P,
    site: &Site,
    dir: FileHandle,
    file: FileHandle,
    work: &Work,
) -> Result<Outcome> {
    let rpc = CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &site.auth);
    let arguments = Arguments { work, dir, file, name: &site.name }.encode()?;
    let way = work.way(HEADER_MIN + rpc.size() + arguments.len(), READ_REPLY);
    let sizes = PrivateData {
        send_size: work.inline,
        receive_size: work.inline,
        remote_invalidation: false,
    };
    let layout = Layout {
        slots: work.depth as usize,
        recv_len: work.inline as usize,
        payload_len: work.bytes as usize,
    };
    let end = End::<P>::connect(provider, site.located.server, &sizes.emit(), layout)?;
    let caller = Caller::new(end, work, way, |end, slot| {
        let payload = end.payload(slot);
        let segment = Segment { handle: end.rkey(), length: payload.length, offset: payload.addr };
        build(&rpc, work.op, &arguments, way, segment)
    })?;
    caller.run()
}

/// What an NFS call says behind its header.
struct Arguments<'a> {
    work: &'a Work,
    dir: FileHandle,
    file: FileHandle,
    name: &'a str,
}

impl Arguments<'_> {
    fn encode(&self) -> Result<Vec<u8>> {
        let Self { work, dir, file, name } = *self;
        let mut bytes = [0; HEADER_LEN];
        let mut w = Writer::new(&mut bytes);
        let (offset, count) = (0, work.bytes);
        match work.op {
            Kind::Read => w.value(&nfs3::ReadArgs { file, offset, count }),
            Kind::Write => {
                let stable = StableHow::Unstable;
                w.value(&nfs3::WriteArgs { file, offset, count, stable, data_len: count })
            }
            Kind::Getattr => w.value(&nfs3::GetattrArgs { file }),
            Kind::Lookup => w.value(&nfs3::LookupArgs { dir, name: name.as_bytes() }),
        }
        .context("the arguments are too long")?;
        let len = w.position();
        Ok(bytes[..len].to_vec())
    }
}

/// One call.
fn build(
    rpc: &CallTemplate,
    op: Kind,
    arguments: &[u8],
    way: Way,
    segment: Segment,
) -> Result<Prebuilt> {
    let position = (rpc.size() + arguments.len()) as u32;
    let reads = [ReadSegment { position, segment }];
    let chunk = [segment];
    let chunks = [&chunk[..]];
    let emit = Emit {
        xid: 0,
        credits: CREDITS,
        kind: EmitKind::Msg,
        reads: if way == Way::ReadChunk { &reads } else { &[] },
        write_chunks: if way == Way::WriteChunk { &chunks } else { &[] },
        reply_chunk: None,
    };
    let mut bytes = vec![0; HEADER_LEN];
    let header = emit.emit(&mut bytes)?;
    let mut w = Writer::new(&mut bytes[header..]);
    let (procedure, has_offset) = match op {
        Kind::Read => (nfs3::procedure::READ, true),
        Kind::Write => (nfs3::procedure::WRITE, true),
        Kind::Getattr => (nfs3::procedure::GETATTR, false),
        Kind::Lookup => (nfs3::procedure::LOOKUP, false),
    };
    rpc.write(0, procedure, &mut w)?;
    w.put(arguments)?;
    let len = header + w.position();
    bytes.truncate(len);
    if len > HEADER_LEN {
        bail!("a call of {len} bytes is too long");
    }
    // A handle is its length and its bytes; the offset comes behind it.
    let handle = arguments.first_chunk().map_or(0, |len| u32::from_be_bytes(*len)) as usize;
    let offset_at = has_offset.then_some(header + rpc.size() + 4 + handle.next_multiple_of(4));
    Ok(Prebuilt { bytes, xid_at: vec![0, header], offset_at })
}
