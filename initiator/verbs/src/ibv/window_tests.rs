//! What a device's library sees of operations on windows, and when a window is let go.

use super::*;
use crate::ibv::chain::SendChain;
use crate::ibv::fake_ops::FakeDevice;
use crate::{Op, PostError, RegionHandle, SendWr};

/// Records what is posted and refuses from entry `room` on.
struct FakeQueue {
    room: usize,
    seen: Vec<Seen>,
}

/// Opcode and immediate data or key; of a bind also the key before, the key after, the address,
/// the length, the access, and the region.
type Seen = (u32, u32, Option<(u32, u32, u64, u64, u32, usize)>);

unsafe extern "C" fn post_send(
    qp: *mut ffi::ibv_qp,
    mut wr: *mut ffi::ibv_send_wr,
    bad: *mut *mut ffi::ibv_send_wr,
) -> i32 {
    // SAFETY: the test passes its own queue and a live chain.
    unsafe {
        let queue = &mut *(*qp).qp_context.cast::<FakeQueue>();
        while !wr.is_null() {
            if queue.seen.len() == queue.room {
                *bad = wr;
                return libc::ENOMEM;
            }
            let bind = ((*wr).opcode == ffi::ibv_wr_opcode::IBV_WR_BIND_MW).then(|| {
                let bind = (*wr).bind_mw_tso_union.bind_mw;
                let info = bind.bind_info;
                let before = (*bind.mw).rkey;
                let access = info.mw_access_flags;
                (before, bind.rkey, info.addr, info.length, access, info.mr as usize)
            });
            let key = (*wr).imm_data_invalidated_rkey_union.invalidated_rkey;
            queue.seen.push(((*wr).opcode, key, bind));
            assert_eq!((*wr).num_sge, 0);
            wr = (*wr).next;
        }
    }
    0
}

fn op(op: Op<&'static Bind>) -> SendWr<'static> {
    SendWr { wr_id: 1, sges: &[], op, signaled: false, fence: false }
}

fn bind(window: &Rc<Mw>, new_rkey: u32, access: WindowAccess) -> SendWr<'static> {
    let (window, region) = (Mw::handle(window), RegionHandle(0x1230));
    let bind = Bind { window, region, new_rkey, addr: 0x4000, length: 512, access };
    op(Op::BindWindow(Box::leak(Box::new(bind))))
}

/// Posts `chain` on a queue with `room`.
fn post(
    device: &mut FakeDevice,
    sends: &mut SendChain,
    chain: &[SendWr<'_>],
) -> Result<usize, PostError> {
    // SAFETY: the fake queue pair reads the chain during the call only; the windows are alive.
    unsafe { sends.post(device.qp(), chain.iter().copied()) }
}

#[test]
fn a_bind_carries_the_old_key_and_the_window_then_has_the_new_one() {
    let mut queue = FakeQueue { room: 8, seen: Vec::new() };
    let mut device = FakeDevice::new(&raw mut queue, Some(post_send), None, None);
    let mut raw = device.window(0x100);
    let window = Rc::new(Mw::new(&raw mut *raw));
    let mut sends = SendChain::new(4);
    let chain = [
        op(Op::SendWithInvalidate { rkey: 77 }),
        op(Op::LocalInvalidate { rkey: 0x100 }),
        bind(&window, 0x101, WindowAccess::WRITE),
    ];
    assert_eq!(post(&mut device, &mut sends, &chain), Ok(3));
    let again = [bind(&window, 0x102, WindowAccess::READ), op(Op::LocalInvalidate { rkey: 0x102 })];
    assert_eq!(post(&mut device, &mut sends, &again), Ok(2));
    use ffi::ibv_wr_opcode::*;
    let expected: [Seen; 5] = [
        (IBV_WR_SEND_WITH_INV, 77, None),
        (IBV_WR_LOCAL_INV, 0x100, None),
        (IBV_WR_BIND_MW, 0, Some((0x100, 0x101, 0x4000, 512, 2, 0x1230))),
        (IBV_WR_BIND_MW, 0, Some((0x101, 0x102, 0x4000, 512, 4, 0x1230))),
        (IBV_WR_LOCAL_INV, 0x102, None),
    ];
    assert_eq!(queue.seen, expected);
    assert_eq!(window.bound_on(), device.qp());
}

#[test]
fn a_bind_that_was_not_posted_leaves_the_windows_key() {
    let mut queue = FakeQueue { room: 1, seen: Vec::new() };
    let mut device = FakeDevice::new(&raw mut queue, Some(post_send), None, None);
    let (mut one, mut two) = (device.window(0x100), device.window(0x200));
    let windows = [Rc::new(Mw::new(&raw mut *one)), Rc::new(Mw::new(&raw mut *two))];
    let chain = [
        bind(&windows[0], 0x101, WindowAccess::WRITE),
        bind(&windows[1], 0x201, WindowAccess::WRITE),
    ];
    let refused = post(&mut device, &mut SendChain::new(4), &chain);
    assert_eq!(refused, Err(PostError { posted: 1, errno: libc::ENOMEM }));
    let keys = windows.each_ref().map(|window| {
        // SAFETY: the windows are alive.
        unsafe { (*window.mw.get()).rkey }
    });
    assert_eq!(keys, [0x101, 0x200]);
}

#[test]
fn an_ended_window_is_refused_and_what_comes_before_it_is_posted() {
    let mut queue = FakeQueue { room: 8, seen: Vec::new() };
    let mut device = FakeDevice::new(&raw mut queue, Some(post_send), None, None);
    let mut raw = device.window(0x100);
    let window = Rc::new(Mw::new(&raw mut *raw));
    let mut sends = SendChain::new(4);
    window.end();
    window.end();
    let bind = bind(&window, 0x101, WindowAccess::WRITE);
    let chain = [op(Op::Send), bind, op(Op::Send)];
    let posted = |posted| Err(PostError { posted, errno: libc::EINVAL });
    assert_eq!(post(&mut device, &mut sends, &chain), posted(1));
    assert_eq!(post(&mut device, &mut sends, &chain[1..]), posted(0));
    assert_eq!(queue.seen.len(), 1);
}
