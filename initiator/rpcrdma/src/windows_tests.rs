use std::cell::Cell;
use std::rc::Rc;

use verbs::{Access, MemoryRegion, WindowHandle};

use super::*;

/// A domain that numbers its windows.
#[derive(Clone, Default)]
struct Domain(Rc<Cell<u32>>);

struct NoRegion;
struct Window(u32);

impl ProtectionDomain for Domain {
    type Region = NoRegion;
    type Window = Window;

    unsafe fn register(&self, _: *mut u8, _: usize, _: Access) -> Result<NoRegion, verbs::Error> {
        Ok(NoRegion)
    }

    fn new_window(&self) -> Result<Window, verbs::Error> {
        self.0.set(self.0.get() + 1);
        Ok(Window(self.0.get()))
    }
}

impl MemoryRegion for NoRegion {
    fn lkey(&self) -> u32 {
        0
    }

    fn rkey(&self) -> u32 {
        0
    }

    fn handle(&self) -> RegionHandle {
        REGION
    }
}

impl MemoryWindow for Window {
    fn rkey(&self) -> u32 {
        self.0 << 8
    }

    fn handle(&self) -> WindowHandle {
        WindowHandle::new(self.0 as usize)
    }
}

const REGION: RegionHandle = RegionHandle::new(9);

fn bind(windows: &Windows<Domain>, of: (u32, usize)) -> Option<usize> {
    let mut segment = Segment { handle: 1, length: 10, offset: 20 };
    let mut key = Key { rkey: 0x100, bound: false };
    let Some(bind) = windows.bind(of, &mut key, &mut segment, None, WindowAccess::READ) else {
        assert_eq!((segment.handle, key.bound), (1, false), "by the key that it has");
        return None;
    };
    assert_eq!((bind.region, bind.addr, bind.length), (REGION, 20, 10));
    assert_eq!((segment.length, segment.offset), (10, 20));
    assert_eq!((segment.handle, bind.new_rkey), (0x101, 0x101), "the next key");
    assert_eq!(key, Key { rkey: 0x101, bound: true });
    (1..100).find(|&number| bind.window == WindowHandle::new(number))
}

#[test]
fn each_segment_of_each_slot_has_a_window_of_its_own() {
    let domain = Domain::default();
    let mut windows = Windows::new(&domain, REGION, 3).unwrap();
    assert!(windows.exist());
    assert_eq!(windows.keys().collect::<Vec<_>>(), [0x100, 0x200, 0x300]);
    let mut keys = [Key::default(); SEGMENTS_MAX];
    // One for each segment but the first, which has its own, and no more than are missing.
    let made = [1, 3, 2, 4].map(|count| windows.extend(&domain, 1, count, &mut keys).unwrap());
    assert_eq!(made, [0, 2, 0, 1]);
    assert_eq!(
        keys[..5].iter().map(|key| key.rkey).collect::<Vec<_>>(),
        [0, 0x400, 0x500, 0x600, 0]
    );
    assert_eq!((windows.len(), domain.0.get()), (6, 6), "all are counted");
    assert_eq!([0, 1, 2].map(|slot| bind(&windows, (slot, 0))), [Some(1), Some(2), Some(3)]);
    assert_eq!([1, 2, 3].map(|place| bind(&windows, (1, place))), [Some(4), Some(5), Some(6)]);
    assert_eq!(bind(&windows, (0, 1)), None);
    assert_eq!([1, 2, 5].map(|segments| windows.wrs_per_call(segments)), [2, 3, 6]);
}

#[test]
fn without_windows_a_segment_is_offered_by_the_key_that_it_has() {
    let (domain, mut windows) = (Domain::default(), Windows::<Domain>::none());
    assert!(!windows.exist());
    let mut keys = [Key::default(); SEGMENTS_MAX];
    assert_eq!(windows.extend(&domain, 0, 5, &mut keys).unwrap(), 0);
    assert_eq!((windows.len(), windows.keys().count()), (0, 0));
    assert_eq!(bind(&windows, (0, 0)), None);
    assert_eq!(windows.wrs_per_call(5), 1, "nothing but the Send");
}
