//! The `ibv` provider against a server that is not ours: an NFSv3 NULL call to the kernel's NFS
//! server, written by hand from RFC 8166, RFC 8797 and RFC 5531, in memory on huge pages.
//!
//! Runs where `INITIATOR_KNFSD_ADDR` names such a server (`tools/rxe-vm run` sets it); elsewhere
//! it says that it was skipped.
#![cfg(feature = "rdma")]

#[allow(dead_code, reason = "shared with the contract suite, which uses all of it")]
#[path = "contract/ends.rs"]
mod ends;

use std::net::{IpAddr, SocketAddr};

use ends::{End, Options, outcomes, recv, resolved, send, wait_for};
use hugepages::{Backing, Policy, Region, RegionSpec};
use verbs::WcStatus;
use verbs::ibv::Ibv;
use verbs::{Access, CmEvent, ConnectParams, Connection, MemoryRegion, ProtectionDomain, Sge};

/// RFC 8166 §10: the port of NFS over RDMA.
const PORT: u16 = 20049;
/// RFC 8797 §4: magic, version 1, no flags, both sizes 4 KiB (in units of 1 KiB, less one).
const PRIVATE_DATA: [u8; 8] = [0xf6, 0xab, 0x0e, 0x18, 1, 0, 3, 3];
const INLINE: usize = 4096;
const XID: u32 = 0x1157_0ca1;
/// knfsd grants this many whatever is asked.
const KNFSD_CREDITS: u32 = 64;

/// RFC 8166 §4.2: xid, version, credits, RDMA_MSG, and three empty lists.
fn transport_header() -> Vec<u8> {
    words(&[XID, 1, 32, 0, 0, 0, 0])
}

/// RFC 5531 §9: a call of procedure 0 of NFS version 3, without credential.
fn null_call() -> Vec<u8> {
    words(&[XID, 0, 2, 100_003, 3, 0, 0, 0, 0, 0])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn server() -> Option<SocketAddr> {
    const NAME: &str = "INITIATOR_KNFSD_ADDR";
    let Some(ip) = std::env::var_os(NAME) else {
        println!("SKIPPED: no NFS/RDMA server: set {NAME} (tools/rxe-vm run does)");
        return None;
    };
    let ip: Option<IpAddr> = ip.to_str().and_then(|ip| ip.parse().ok());
    Some(SocketAddr::new(ip.unwrap_or_else(|| panic!("{NAME} must be an IP address")), PORT))
}

fn memory() -> Region {
    let region = Region::map(&RegionSpec {
        len: 2 << 20,
        policy: Policy::Preferred,
        page_size: Default::default(),
        numa_node: None,
        lock: false,
    })
    .expect("memory");
    println!("{}", region.report());
    if std::env::var_os("INITIATOR_VM").is_some_and(|vm| vm != "here") {
        assert!(matches!(region.backing(), Backing::Huge(_)), "the machine has huge pages");
    }
    region
}

#[test]
fn ibv_knfsd_null() {
    let Some(server) = server() else { return };
    // Declared before the end: dropped after it.
    let memory = memory();
    let mut end = End::<Ibv>::prepare(resolved(&Ibv, server), &Options::default());
    println!("{:?}", end.connection.device());
    // SAFETY: the memory outlives the registration; no reference into it is made.
    let region =
        unsafe { end.domain.register(memory.addr(), memory.len(), Access::LOCAL) }.unwrap();
    let sge = |offset: usize, len: usize| Sge {
        addr: memory.addr() as u64 + offset as u64,
        length: len as u32,
        lkey: region.lkey(),
    };

    let recvs: Vec<_> = (0..4).map(|i| recv(i, sge((1 + i as usize) * INLINE, INLINE))).collect();
    assert_eq!(end.post_recv(&recvs), Ok(4));
    let params = ConnectParams { private_data: &PRIVATE_DATA, ..Default::default() };
    end.connection.connect(&params).unwrap();
    match end.event("the server's answer") {
        CmEvent::Established { private_data } => {
            assert_eq!(private_data.get(..4), Some(&PRIVATE_DATA[..4]), "RFC 8797 magic");
            println!("private data: {} bytes, {:02x?}", private_data.len(), &private_data[..8]);
        }
        other => panic!("{other:?}"),
    }

    let parts = [transport_header(), null_call()];
    let mut offset = 0;
    let sges = parts.each_ref().map(|part| {
        // SAFETY: inside the region; nothing posted reads there yet.
        unsafe { memory.addr().add(offset).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
        let sge = sge(offset, part.len());
        offset += 1024;
        sge
    });
    assert_eq!(end.post_send(&[send(100, &sges)]), Ok(1));

    let mut done = end.completions(2);
    done.sort_by_key(|completion| completion.wr_id);
    assert_eq!(outcomes(&done), [(0, WcStatus::Success), (100, WcStatus::Success)]);
    let mut reply = vec![0; done[0].byte_len as usize];
    // SAFETY: the Receive has completed, so the memory is ours again.
    unsafe {
        let from = memory.addr().add(INLINE);
        from.copy_to_nonoverlapping(reply.as_mut_ptr(), reply.len());
    }
    // Header, then xid, REPLY, MSG_ACCEPTED, an empty verifier, SUCCESS.
    let expected = [XID, 1, KNFSD_CREDITS, 0, 0, 0, 0, XID, 1, 0, 0, 0, 0];
    assert_eq!(reply, words(&expected));

    end.connection.disconnect();
    let flushed: Vec<_> = (1..4).map(|i| (i, WcStatus::Flushed)).collect();
    assert_eq!(outcomes(&end.completions(3)), flushed);
    assert_eq!(wait_for("the farewell", || end.connection.poll_event()), CmEvent::Disconnected);
}
