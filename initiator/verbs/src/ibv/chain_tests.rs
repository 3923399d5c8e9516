//! What a device's library sees of a chain, and what the caller learns when it refuses a part.

use super::*;
use crate::ibv::fake_ops::FakeDevice;

/// A Send Queue that records what is posted and refuses from entry `room` on.
#[derive(Default)]
struct FakeQueue {
    calls: usize,
    room: usize,
    /// Fails after taking everything, without naming an entry, as rxe's doorbell can.
    doorbell_fails: bool,
    seen: Vec<Seen>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    wr_id: u64,
    opcode: u32,
    flags: u32,
    sges: *const ffi::ibv_sge,
    sge_count: i32,
    remote: (u64, u32),
    invalidate: u32,
}

unsafe extern "C" fn post_send(
    qp: *mut ffi::ibv_qp,
    mut wr: *mut ffi::ibv_send_wr,
    bad: *mut *mut ffi::ibv_send_wr,
) -> i32 {
    // SAFETY: the test passes its own queue and a live chain.
    unsafe {
        let queue = &mut *(*qp).qp_context.cast::<FakeQueue>();
        queue.calls += 1;
        while !wr.is_null() {
            if queue.seen.len() == queue.room {
                *bad = wr;
                return libc::ENOMEM;
            }
            let rdma = (*wr).wr.rdma;
            queue.seen.push(Seen {
                wr_id: (*wr).wr_id,
                opcode: (*wr).opcode,
                flags: (*wr).send_flags,
                sges: (*wr).sg_list,
                sge_count: (*wr).num_sge,
                remote: (rdma.remote_addr, rdma.rkey),
                invalidate: (*wr).imm_data_invalidated_rkey_union.invalidated_rkey,
            });
            wr = (*wr).next;
        }
        if queue.doorbell_fails { libc::EINVAL } else { 0 }
    }
}

unsafe extern "C" fn post_recv(
    qp: *mut ffi::ibv_qp,
    mut wr: *mut ffi::ibv_recv_wr,
    bad: *mut *mut ffi::ibv_recv_wr,
) -> i32 {
    // SAFETY: as above.
    unsafe {
        let queue = &mut *(*qp).qp_context.cast::<FakeQueue>();
        queue.calls += 1;
        while !wr.is_null() {
            if queue.seen.len() == queue.room {
                *bad = wr;
                return libc::ENOMEM;
            }
            let sge = *(*wr).sg_list;
            queue.seen.push(Seen {
                wr_id: (*wr).wr_id,
                opcode: 0,
                flags: 0,
                sges: ptr::null(),
                sge_count: (*wr).num_sge,
                remote: (sge.addr, sge.length),
                invalidate: sge.lkey,
            });
            wr = (*wr).next;
        }
    }
    0
}

fn queue(room: usize) -> FakeQueue {
    FakeQueue { room, ..Default::default() }
}

/// Posts `chain` on `queue` with a chain array of `capacity`.
fn send(queue: &mut FakeQueue, capacity: u32, chain: &[SendWr<'_>]) -> Result<usize, PostError> {
    let mut device = FakeDevice::new(&raw mut *queue, Some(post_send), None, None);
    let mut sends = SendChain::new(capacity);
    // SAFETY: the fake queue pair reads the chain during the call only.
    unsafe { sends.post(device.qp(), chain.iter().copied()) }
}

fn plain(wr_id: u64, sges: &[Sge]) -> SendWr<'_> {
    SendWr { wr_id, sges, op: Op::Send, signaled: false, fence: false }
}

#[test]
fn a_chain_reaches_the_device_with_one_call_and_the_callers_own_sges() {
    let sges = [Sge { addr: 0x1000, length: 28, lkey: 5 }, Sge { addr: 2, length: 3, lkey: 4 }];
    let chain = [
        plain(1, &sges),
        SendWr { op: Op::SendWithInvalidate { rkey: 77 }, ..plain(2, &sges[..1]) },
        SendWr {
            op: Op::RdmaWrite { remote_addr: 0xdead_beef_0000, rkey: 8 },
            ..plain(3, &sges[1..])
        },
        SendWr {
            op: Op::RdmaRead { remote_addr: 0x42, rkey: 9 },
            signaled: true,
            fence: true,
            ..plain(4, &[])
        },
    ];
    let mut queue = queue(8);
    assert_eq!(send(&mut queue, 8, &chain), Ok(4));
    assert_eq!(queue.calls, 1, "one doorbell");
    let opcodes: Vec<_> = queue.seen.iter().map(|s| s.opcode).collect();
    use ffi::ibv_wr_opcode::*;
    assert_eq!(opcodes, [IBV_WR_SEND, IBV_WR_SEND_WITH_INV, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ]);
    assert_eq!(queue.seen.iter().map(|s| s.wr_id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(queue.seen.iter().map(|s| s.sge_count).collect::<Vec<_>>(), [2, 1, 1, 0]);
    assert_eq!(queue.seen[0].sges, sges.as_ptr().cast(), "not copied");
    assert_eq!(queue.seen[1].invalidate, 77);
    assert_eq!(queue.seen[2].remote, (0xdead_beef_0000, 8));
    assert_eq!(queue.seen[3].remote, (0x42, 9));
    let flags: Vec<_> = queue.seen.iter().map(|s| s.flags).collect();
    assert_eq!(flags, [0, 0, 0, 1 | 2], "fence and signaled, and neither unasked");
}

#[test]
fn an_empty_chain_rings_no_doorbell() {
    let mut queue = queue(8);
    assert_eq!(send(&mut queue, 8, &[]), Ok(0));
    assert_eq!(queue.calls, 0);
}

#[test]
fn a_refused_entry_says_how_many_are_on_the_queue_before_it() {
    for room in 0..3 {
        let mut queue = queue(room);
        let got = send(&mut queue, 8, &[plain(1, &[]), plain(2, &[]), plain(3, &[])]);
        assert_eq!(got, Err(PostError { posted: room, errno: libc::ENOMEM }));
    }
}

#[test]
fn a_failure_that_names_no_entry_counts_all_as_posted() {
    let mut queue = FakeQueue { doorbell_fails: true, ..queue(8) };
    let got = send(&mut queue, 8, &[plain(1, &[]), plain(2, &[])]);
    assert_eq!(got, Err(PostError { posted: 2, errno: libc::EINVAL }));
}

/// Devices round queues up: what was asked for is not where they are full.
#[test]
fn a_chain_beyond_what_was_asked_for_goes_in_pieces_until_the_device_refuses() {
    let chain = [plain(1, &[]), plain(2, &[]), plain(3, &[]), plain(4, &[]), plain(5, &[])];
    let mut roomy = queue(8);
    assert_eq!(send(&mut roomy, 2, &chain), Ok(5));
    assert_eq!(roomy.calls, 3);
    assert_eq!(roomy.seen.iter().map(|s| s.wr_id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let mut full = queue(3);
    let got = send(&mut full, 2, &chain);
    assert_eq!(got, Err(PostError { posted: 3, errno: libc::ENOMEM }));
    assert_eq!(full.calls, 2, "nothing is tried behind a refusal");
}

#[test]
fn a_chain_that_fills_the_queue_exactly_ends_there() {
    let mut queue = queue(8);
    assert_eq!(send(&mut queue, 2, &[plain(1, &[]), plain(2, &[])]), Ok(2));
    assert_eq!(queue.calls, 1, "no empty call after it");
}

#[test]
fn a_shorter_chain_after_a_longer_one_ends_where_it_ends() {
    let mut queue = queue(8);
    let mut device = FakeDevice::new(&raw mut queue, Some(post_send), None, None);
    let mut sends = SendChain::new(4);
    for chain in [&[plain(1, &[]), plain(2, &[]), plain(3, &[])][..], &[plain(4, &[])][..]] {
        // SAFETY: the fake queue pair reads the chain during the call only.
        unsafe { sends.post(device.qp(), chain.iter().copied()) }.unwrap();
    }
    assert_eq!(queue.seen.iter().map(|s| s.wr_id).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn receives_carry_one_sge_each_and_report_refusals_alike() {
    let mut queue = queue(2);
    let mut device = FakeDevice::new(&raw mut queue, None, Some(post_recv), None);
    let mut recvs = RecvChain::new(4);
    let wr = |wr_id| RecvWr { wr_id, sge: Sge { addr: wr_id * 4096, length: 4096, lkey: 3 } };
    // SAFETY: the fake queue pair reads the chain during the call only.
    let got = unsafe { recvs.post(device.qp(), (1..=3).map(wr)) };
    assert_eq!(got, Err(PostError { posted: 2, errno: libc::ENOMEM }));
    // SAFETY: as above.
    let full = unsafe { recvs.post(device.qp(), (1..=9).map(wr)) };
    assert_eq!(full, Err(PostError { posted: 0, errno: libc::ENOMEM }));
    assert_eq!(queue.seen[1].remote, (8192, 4096));
    assert_eq!((queue.seen[0].wr_id, queue.seen[0].invalidate, queue.seen[0].sge_count), (1, 3, 1));
}
