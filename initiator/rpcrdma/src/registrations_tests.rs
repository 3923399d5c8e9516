use std::cell::{Cell, RefCell};

use hugepages::Buffer;
use verbs::{Error, MemoryWindow, WindowHandle};

use super::*;

/// A domain that hands out keys and has room for so many regions.
#[derive(Clone)]
struct Domain(Rc<Device>);

struct Device {
    live: RefCell<Vec<u32>>,
    next: Cell<u32>,
    room: Cell<usize>,
}

struct Mr(Rc<Device>, u32);
struct NoWindow;

impl ProtectionDomain for Domain {
    type Region = Mr;
    type Window = NoWindow;

    unsafe fn register(&self, _: *mut u8, _: usize, _: Access) -> Result<Mr, Error> {
        if self.0.live.borrow().len() >= self.0.room.get() {
            return Err(Error::Os { call: "ibv_reg_mr", errno: 12 });
        }
        let key = self.0.next.replace(self.0.next.get() + 1);
        self.0.live.borrow_mut().push(key);
        Ok(Mr(self.0.clone(), key))
    }

    fn new_window(&self) -> Result<NoWindow, Error> {
        Ok(NoWindow)
    }
}

impl MemoryRegion for Mr {
    fn lkey(&self) -> u32 {
        self.1
    }

    fn rkey(&self) -> u32 {
        self.1
    }

    fn handle(&self) -> RegionHandle {
        unreachable!("these tests bind no windows")
    }
}

impl MemoryWindow for NoWindow {
    fn rkey(&self) -> u32 {
        0
    }

    fn handle(&self) -> WindowHandle {
        unreachable!("these tests bind no windows")
    }
}

impl Drop for Mr {
    fn drop(&mut self) {
        self.0.live.borrow_mut().retain(|key| *key != self.1);
    }
}

struct Bench {
    domain: Domain,
    registrations: Registrations<Domain>,
    counters: Counters,
}

impl Bench {
    fn new(max: u32) -> Self {
        let device = Device { live: RefCell::default(), next: Cell::new(1), room: Cell::new(100) };
        let registrations = Registrations::new(max);
        Self { domain: Domain(Rc::new(device)), registrations, counters: Counters::default() }
    }

    fn get(&mut self, memory: &Buffer) -> Result<Rc<Registered>, Refusal> {
        let terms = Terms { domain: &self.domain, access: Access::LOCAL, bindable: false };
        self.registrations.get(memory.region(), &terms, &mut self.counters)
    }

    fn live(&self) -> Vec<u32> {
        self.domain.0.live.borrow().clone()
    }
}

fn memory() -> Buffer {
    Buffer::from_vec(vec![0; 100]).unwrap()
}

#[test]
fn the_first_use_registers_and_the_second_does_not() {
    let mut bench = Bench::new(4);
    let (a, b) = (memory(), memory());
    let first = bench.get(&a).unwrap().keys;
    assert_eq!(bench.get(&a).unwrap().keys, first);
    assert_ne!(bench.get(&b).unwrap().keys, first);
    assert_eq!(bench.counters.own_regions_registered, 2);
    assert_eq!(bench.counters.hardway_register_count, 200);
}

#[test]
fn the_one_used_longest_ago_is_given_up_and_never_one_in_use() {
    let mut bench = Bench::new(3);
    let all: Vec<Buffer> = (0..5).map(|_| memory()).collect();
    let held: Vec<_> = all[..3].iter().map(|memory| bench.get(memory).unwrap()).collect();
    assert_eq!(bench.live(), [1, 2, 3]);
    assert_eq!(bench.get(&all[3]).unwrap_err(), Refusal::Busy, "calls use all three");
    assert_eq!(bench.live(), [1, 2, 3]);
    drop(held);
    bench.get(&all[0]).unwrap();
    bench.get(&all[3]).unwrap();
    assert_eq!(bench.live(), [1, 3, 4], "the second was used longest ago");
    let in_use = bench.get(&all[2]).unwrap();
    bench.get(&all[0]).unwrap();
    bench.get(&all[3]).unwrap();
    bench.get(&all[4]).unwrap();
    assert_eq!(bench.live(), [3, 4, 5], "the third was, but it is in use");
    drop(in_use);
    assert_eq!(bench.counters.own_regions_evicted, 2);
}

#[test]
fn memory_that_cannot_be_pinned_takes_the_place_of_idle_memory_or_is_refused() {
    let mut bench = Bench::new(10);
    bench.domain.0.room.set(2);
    let all: Vec<Buffer> = (0..3).map(|_| memory()).collect();
    bench.get(&all[0]).unwrap();
    let in_use = bench.get(&all[1]).unwrap();
    let third = bench.get(&all[2]).unwrap();
    assert_eq!(bench.live(), [2, 3]);
    let Err(Refusal::Invalid(error)) = bench.get(&all[0]) else { panic!("there is no room") };
    assert!(error.to_string().contains("memlock") || error.to_string().contains("lock"), "{error}");
    drop((in_use, third));
}

#[test]
fn memory_that_nobody_holds_any_more_is_let_go() {
    let mut bench = Bench::new(10);
    let (kept, dropped, used) = (memory(), memory(), memory());
    let mut use_of = |memory: &Buffer| bench.get(memory).unwrap();
    use_of(&kept);
    use_of(&dropped);
    let in_use = use_of(&used);
    drop((dropped, used));
    bench.registrations.sweep();
    assert_eq!(bench.live(), [1, 3]);
    drop(in_use);
    bench.registrations.sweep();
    assert_eq!(bench.live(), [1]);
    assert!(bench.registrations.forget(kept.region()));
    assert!(!bench.registrations.forget(kept.region()));
    assert_eq!(kept.into_vec().unwrap().len(), 100);
}

#[test]
fn with_the_domain_they_all_end_and_are_made_anew() {
    let mut bench = Bench::new(10);
    let memory = memory();
    let before = bench.get(&memory).unwrap().keys;
    bench.registrations.clear();
    assert!(bench.live().is_empty());
    assert_ne!(bench.get(&memory).unwrap().keys, before);
}
