use super::*;
use crate::ibv::fake_ops::FakeDevice;

/// A queue with `left` completions; a negative number fails.
struct FakeCq {
    left: i32,
    taken: u64,
    calls: usize,
}

unsafe extern "C" fn poll_cq(cq: *mut ffi::ibv_cq, room: i32, out: *mut ffi::ibv_wc) -> i32 {
    // SAFETY: the test passes its own queue and `room` entries.
    unsafe {
        let fake = &mut *(*cq).cq_context.cast::<FakeCq>();
        fake.calls += 1;
        if fake.left < 0 {
            return fake.left;
        }
        let got = room.min(fake.left);
        for i in 0..got {
            let mut wc: ffi::ibv_wc = std::mem::zeroed();
            wc.wr_id = fake.taken;
            fake.taken += 1;
            out.add(i as usize).write(wc);
        }
        fake.left -= got;
        got
    }
}

fn poll_fake(left: i32, room: usize) -> (Result<usize, Box<Error>>, Vec<Completion>, usize) {
    let mut fake = FakeCq { left, taken: 0, calls: 0 };
    let mut device = FakeDevice::new(&raw mut fake, None, None, Some(poll_cq));
    let mut out = vec![Completion { wr_id: u64::MAX, ..Default::default() }; room];
    // SAFETY: the fake queue lives through the call.
    let got = unsafe { poll(device.cq(), &mut out, 0) };
    (got, out, fake.calls)
}

#[test]
fn an_idle_queue_is_asked_once() {
    assert_eq!((poll_fake(0, 64).0, poll_fake(0, 64).2), (Ok(0), 1));
}

#[test]
fn entries_come_in_order_across_batches_and_no_more_than_fit() {
    for (left, room) in [(5, 64), (100, 70), (64, 64), (33, 33), (100, 1)] {
        let (got, out, _) = poll_fake(left, room);
        let expected = room.min(left as usize);
        assert_eq!(got, Ok(expected), "{left} in {room}");
        assert!(out[..expected].iter().enumerate().all(|(i, c)| c.wr_id == i as u64));
        assert!(out[expected..].iter().all(|c| c.wr_id == u64::MAX), "beyond is untouched");
    }
}

#[test]
fn no_room_asks_nothing() {
    assert_eq!((poll_fake(3, 0).0, poll_fake(3, 0).2), (Ok(0), 0));
}

#[test]
fn a_failing_poll_is_an_error_with_its_number() {
    assert_eq!(poll_fake(-5, 8).0, Err(Box::new(Error::Os { call: "ibv_poll_cq", errno: 5 })));
}
