//! A mount without a transport: what it is told, and what it does then.

use std::rc::Rc;

use hugepages::{Keys, PageSize, Policy, Pool, Region, RegionSpec};
use rpcrdma::{EndpointConfig, TransportConfig};
use verbs::soft::{Clock, SoftFabric};
use wire::nfs3::{StableHow, Status};

use super::kept::Phase;
use super::*;

const V1: [u8; 8] = [1; 8];
const V2: [u8; 8] = [2; 8];
const BUFFER_LEN: usize = 4096;
const BUFFERS: usize = 64;
const DEPTH: u32 = 64;

/// A mount that is never connected: the test answers its calls.
struct Bed {
    mount: Mount,
    endpoint: Endpoint<SoftFabric>,
    pool: Pool,
}

fn file(name: u8) -> File {
    File { handle: FileHandle::from_bytes(&[name]).unwrap() }
}

fn pool() -> Pool {
    let len = BUFFER_LEN * BUFFERS;
    let page_size = PageSize::Huge2M;
    let spec = RegionSpec { len, policy: Policy::Off, page_size, numa_node: None, lock: false };
    let region = Rc::new(Region::map(&spec).unwrap());
    Pool::new(region, 0, BUFFER_LEN, BUFFERS, Keys::default()).unwrap()
}

fn written(count: u32, verifier: [u8; 8]) -> Result<Output, Error> {
    Ok(Output::Written { count, committed: StableHow::Unstable, verifier })
}

fn refused(status: Status) -> Error {
    Error::Nfs { procedure: "COMMIT", status, path: None }
}

fn closed() -> rpcrdma::Error {
    rpcrdma::Error::Closed { remote: ([127, 0, 0, 1], 20049).into() }
}

impl Bed {
    fn new(exchanged_max: u32) -> Self {
        let fabric = SoftFabric::new(Clock::virtual_time());
        let mut endpoint = Endpoint::new(fabric, EndpointConfig::default());
        let mut config = TransportConfig::new(([127, 0, 0, 1], 20049).into());
        config.buffers.policy = Policy::Off;
        let links = Links::new(endpoint.connect(config, Timestamp(0)).unwrap(), None);
        let root = file(0).handle;
        let mut mount = Mount::new(0, links, root, &Auth::None, DEPTH, exchanged_max);
        mount.state = MountState::Mounted;
        let pool = pool();
        mount.kept.use_pool(Some(&pool));
        Self { mount, endpoint, pool }
    }

    /// Takes an operation of the caller's. True: it is sent at once.
    fn take(&mut self, op: Op) -> (u32, bool) {
        let slot = self.mount.free.pop().unwrap();
        let task = Task { op, role: Role::Plain, ..Task::vacant(self.mount.root) };
        self.mount.tasks[slot as usize] = task;
        (slot, self.mount.admit(slot))
    }

    fn begin(&mut self, name: u8, offset: u64, len: u32) -> u32 {
        let (slot, at_once) = self.take(Op::WriteBack { file: file(name), offset, len });
        assert!(at_once);
        slot
    }

    /// A call comes back, with the memory that went with it.
    fn answer(&mut self, slot: u32, result: Result<Output, Error>, buffer: Option<Buffer>) {
        let role = self.mount.tasks[slot as usize].role;
        self.mount.kept_finished(slot, role, result, buffer);
    }

    fn end(&mut self, slot: u32, count: u32, verifier: [u8; 8]) {
        let buffer = self.pool.alloc();
        self.answer(slot, written(count, verifier), buffer);
    }

    fn write(&mut self, name: u8, offset: u64, len: u32, verifier: [u8; 8]) {
        let slot = self.begin(name, offset, len);
        self.end(slot, len, verifier);
    }

    fn sync(&mut self, name: u8) {
        assert!(
            !self.take(Op::Sync { file: file(name) }).1,
            "it waits for a COMMIT of the mount's"
        );
    }

    /// The files that are being committed, by calls that have not gone out yet.
    fn commits(&self) -> Vec<u8> {
        let op = |slot: &u32| &self.mount.tasks[*slot as usize].op;
        let name = |op: &Op| match op {
            Op::Sync { file } => Some(file.handle.as_bytes()[0]),
            _ => None,
        };
        self.mount.waiting.iter().filter_map(|slot| name(op(slot))).collect()
    }

    /// What is to be sent again: where from and how.
    fn resends(&self) -> Vec<(u64, StableHow)> {
        let op = |slot: &u32| &self.mount.tasks[*slot as usize].op;
        let range = |op: &Op| match op {
            Op::Write { offset, stable, .. } => Some((*offset, *stable)),
            _ => None,
        };
        self.mount.waiting.iter().filter_map(|slot| range(op(slot))).collect()
    }

    /// The next call that goes out, with its memory.
    fn send(&mut self) -> (u32, Option<Buffer>) {
        let slot = self.mount.waiting.pop_front().expect("a call waits");
        (slot, self.mount.tasks[slot as usize].buffer.take())
    }

    fn commit(&mut self, result: Result<[u8; 8], Error>) {
        let (slot, _) = self.send();
        self.answer(slot, result.map(|verifier| Output::Committed { verifier }), None);
    }

    fn resend(&mut self, verifier: [u8; 8]) {
        let (slot, buffer) = self.send();
        let Op::Write { len, .. } = self.mount.tasks[slot as usize].op else { panic!("a write") };
        self.answer(slot, written(len, verifier), buffer);
    }

    /// The caller submits an operation. False: there is no room.
    fn submit(&mut self, op: Op) -> bool {
        let submission = Submission { tag: 0, op, buffer: None, pieces: None };
        self.mount.submit(submission, &mut self.endpoint, Timestamp(0)).is_ok()
    }

    fn done(&mut self) -> Vec<Done> {
        std::iter::from_fn(|| self.mount.next_done()).collect()
    }
}

#[test]
fn as_many_buffers_as_may_be_out_are_given_in_exchange_and_the_next_write_waits() {
    let mut bed = Bed::new(2);
    for offset in [0, 100, 200] {
        bed.write(1, offset, 100, V1);
    }
    let done = bed.done();
    assert_eq!(done.len(), 2, "the third has to wait for a proof");
    assert!(done.iter().all(|done| done.result.is_ok() && done.buffer.is_some()));
    drop(done);
    assert_eq!(bed.mount.in_flight(), 2, "it, and a COMMIT for it");
    assert_eq!(bed.mount.uncommitted(file(1)), 300);
    assert_eq!(bed.mount.uncommitted(file(2)), 0);
    assert!(bed.mount.is_uncommitted(file(1), 299, 1));
    assert!(!bed.mount.is_uncommitted(file(1), 300, 1) && !bed.mount.is_uncommitted(file(2), 0, 1));
    bed.commit(Ok(V1));
    assert!(bed.done().is_empty(), "that COMMIT began before it");
    bed.commit(Ok(V1));
    let done = bed.done();
    assert!(matches!(
        done[..],
        [Done { result: Ok(Output::Written { count: 100, .. }), buffer: Some(_), .. }]
    ));
    drop(done);
    let kept = &bed.mount.kept;
    assert_eq!((kept.exchanged, kept.own, kept.by_handle.len()), (0, 0, 0), "nothing is kept");
    assert_eq!((bed.mount.in_flight(), bed.pool.available()), (0, BUFFERS));
}

#[test]
fn a_write_that_is_larger_than_the_buffers_of_the_mount_waits_for_its_proof() {
    let mut bed = Bed::new(4);
    let slot = bed.begin(1, 0, 5000);
    bed.answer(slot, written(5000, V1), Some(Buffer::from_vec(vec![7; 5000]).unwrap()));
    assert!(bed.done().is_empty());
    assert_eq!(bed.mount.uncommitted(file(1)), 5000);
}

#[test]
fn all_files_are_committed_once_more_than_half_of_the_room_is_taken() {
    let mut bed = Bed::new(4);
    bed.write(1, 0, 10, V1);
    bed.write(2, 0, 10, V1);
    assert!(bed.commits().is_empty(), "half is out");
    bed.write(3, 0, 10, V1);
    assert_eq!(bed.commits(), [1, 2, 3]);
}

#[test]
fn a_file_that_was_written_meanwhile_is_committed_again_while_room_is_scarce() {
    let mut bed = Bed::new(4);
    for name in [1, 2, 3] {
        bed.write(name, 0, 10, V1);
    }
    bed.write(1, 10, 10, V1);
    assert_eq!(bed.commits(), [1, 2, 3]);
    bed.commit(Ok(V1));
    assert_eq!(bed.commits(), [2, 3, 1], "three are out");
    assert_eq!(bed.mount.uncommitted(file(1)), 10);
}

#[test]
fn what_was_written_meanwhile_is_left_alone_once_half_of_the_room_is_free() {
    let mut bed = Bed::new(6);
    for (name, offset) in [(1, 0), (2, 0), (1, 10), (2, 10), (1, 20)] {
        bed.write(name, offset, 10, V1);
    }
    assert_eq!(bed.commits(), [1, 2]);
    bed.commit(Ok(V1));
    assert_eq!(bed.commits(), [2], "three are out");
    assert_eq!(bed.mount.uncommitted(file(1)), 10);
    bed.commit(Ok(V1));
    bed.sync(1);
    bed.commit(Ok(V1));
    assert_eq!((bed.mount.kept.exchanged, bed.mount.kept.by_handle.len()), (0, 0));
}

#[test]
fn a_commit_that_fails_is_told_to_those_who_waited_for_it_and_the_data_stays() {
    let mut bed = Bed::new(4);
    bed.write(1, 0, 10, V1);
    assert_eq!(bed.done().len(), 1);
    bed.sync(1);
    bed.commit(Err(refused(Status::Io)));
    assert!(matches!(bed.done()[..], [Done { result: Err(Error::Nfs { .. }), .. }]));
    assert_eq!(bed.mount.uncommitted(file(1)), 10);
    assert!(bed.mount.waiting.is_empty(), "nobody waits for another");
    bed.sync(1);
    bed.commit(Ok(V1));
    assert_eq!(bed.resends(), [(0, StableHow::Unstable)], "it may be gone");
}

#[test]
fn a_write_of_which_the_server_takes_nothing_fails() {
    let mut bed = Bed::new(4);
    let slot = bed.begin(1, 0, 10);
    bed.end(slot, 0, V1);
    let done = bed.done();
    assert!(matches!(done[..], [Done { result: Err(Error::BadResult { .. }), .. }]));
    assert!(done[0].buffer.is_some() && bed.mount.waiting.is_empty());
    assert!(bed.mount.kept.by_handle.is_empty());
}

#[test]
fn a_write_that_is_taken_in_parts_is_kept_as_a_whole() {
    let mut bed = Bed::new(4);
    let slot = bed.begin(1, 1000, 300);
    let mut buffer = bed.pool.alloc().unwrap();
    let bytes: Vec<u8> = (0..300_u32).map(|byte| byte as u8).collect();
    buffer[..300].copy_from_slice(&bytes);
    bed.answer(slot, written(100, V1), Some(buffer));
    let (again, buffer) = bed.send();
    assert_eq!((again, &buffer.as_ref().unwrap()[..200]), (slot, &bytes[100..]));
    bed.answer(slot, written(200, V1), buffer);
    assert_eq!(bed.done().len(), 1);
    assert_eq!(bed.mount.uncommitted(file(1)), 300);
    assert!(bed.mount.is_uncommitted(file(1), 1000, 1));
    assert!(bed.mount.is_uncommitted(file(1), 1299, 1));
    assert!(!bed.mount.is_uncommitted(file(1), 1300, 1000));
    let at = bed.mount.kept.by_handle[&file(1).handle];
    let extent = bed.mount.kept.file(at).log.get_mut(0).unwrap();
    assert_eq!(extent.buffer.as_ref().unwrap()[..300], bytes);
}

#[test]
fn what_the_server_has_made_durable_at_once_is_not_kept() {
    let mut bed = Bed::new(4);
    let slot = bed.begin(1, 0, 10);
    let buffer = bed.pool.alloc();
    let committed = StableHow::FileSync;
    bed.answer(slot, Ok(Output::Written { count: 10, committed, verifier: V1 }), buffer);
    let slot = bed.begin(1, 0, 0);
    bed.end(slot, 0, V1);
    let done = bed.done();
    assert_eq!(done.len(), 2);
    for Done { result, buffer, .. } in done {
        assert!(matches!(result, Ok(Output::Written { committed: StableHow::FileSync, .. })));
        assert!(buffer.is_some());
    }
    assert_eq!((bed.mount.kept.exchanged, bed.mount.kept.by_handle.len()), (0, 0));
}

#[test]
fn nothing_is_sent_again_while_a_write_is_under_way() {
    let mut bed = Bed::new(8);
    bed.write(1, 0, 10, V1);
    let slow = bed.begin(1, 10, 10);
    bed.sync(1);
    bed.commit(Ok(V2));
    assert!(bed.resends().is_empty());
    let (gated, at_once) = bed.take(Op::WriteBack { file: file(1), offset: 20, len: 10 });
    assert!(!at_once, "it waits at the gate");
    bed.end(slow, 10, V2);
    assert_eq!(bed.resends(), [(0, StableHow::Unstable)], "the other one is the new server's");
    bed.resend(V2);
    assert_eq!(bed.send().0, gated);
    assert_eq!(bed.commits(), [1]);
}

#[test]
fn what_was_written_after_the_commit_to_the_new_server_is_not_sent_again() {
    let mut bed = Bed::new(8);
    bed.write(1, 0, 10, V1);
    bed.sync(1);
    bed.write(1, 10, 10, V2);
    bed.commit(Ok(V2));
    assert_eq!(bed.resends(), [(0, StableHow::Unstable)]);
    bed.resend(V2);
    assert!(bed.resends().is_empty());
    bed.commit(Ok(V2));
    assert_eq!(bed.done().len(), 3);
    assert_eq!(bed.mount.kept.by_handle.len(), 0);
}

#[test]
fn a_server_that_restarts_again_and_again_is_asked_to_write_durably_the_third_time() {
    let mut bed = Bed::new(8);
    bed.write(1, 0, 10, [0; 8]);
    bed.sync(1);
    let mut how = Vec::new();
    for life in 1..=3 {
        bed.commit(Ok([life; 8]));
        how.push(bed.resends()[0].1);
        bed.resend([life; 8]);
        assert_eq!(bed.commits(), [1], "another life may begin before it");
    }
    assert_eq!(how, [StableHow::Unstable, StableHow::Unstable, StableHow::FileSync]);
}

#[test]
fn no_more_is_sent_again_at_a_time_than_there_are_places_for() {
    let mut bed = Bed::new(64);
    for at in 0..20 {
        bed.write(1, 10 * at, 10, V1);
    }
    bed.done().clear();
    bed.sync(1);
    bed.commit(Ok(V2));
    assert_eq!(bed.resends().len(), OWN_MAX as usize);
    bed.resend(V2);
    assert_eq!(bed.resends().len(), OWN_MAX as usize, "another has its place");
    for _ in 0..19 {
        bed.resend(V2);
    }
    bed.commit(Ok(V2));
    assert!(matches!(bed.done()[..], [Done { result: Ok(Output::Committed { .. }), .. }]));
    assert_eq!((bed.mount.kept.exchanged, bed.mount.kept.own), (0, 0));
}

#[test]
fn a_write_that_cannot_be_repeated_is_not_tried_for_ever() {
    let mut bed = Bed::new(8);
    bed.write(1, 0, 10, V1);
    bed.write(1, 10, 10, V1);
    bed.done().clear();
    bed.sync(1);
    bed.commit(Ok(V2));
    assert_eq!(bed.resends().len(), 2);
    bed.resend(V2);
    let (slot, buffer) = bed.send();
    bed.answer(slot, Err(refused(Status::NoSpace)), buffer);
    assert!(matches!(bed.done()[..], [Done { result: Err(Error::Nfs { .. }), .. }]));
    assert!(bed.mount.waiting.is_empty(), "the next fsync tries again");
    assert_eq!(bed.mount.uncommitted(file(1)), 20);
}

#[test]
fn whoever_waits_for_kept_data_is_told_when_the_mount_is_gone() {
    let mut bed = Bed::new(1);
    bed.write(1, 0, 10, V1);
    assert_eq!(bed.done().len(), 1);
    bed.write(1, 10, 10, V1);
    bed.sync(1);
    let (commit, _) = bed.send();
    bed.mount.gone(Error::NotMounted);
    let done = bed.done();
    assert_eq!(done.len(), 2, "a write and an fsync");
    assert!(done.iter().all(|done| done.result.is_err()));
    assert_eq!(done.iter().filter(|done| done.buffer.is_some()).count(), 1);
    drop(done);
    bed.answer(commit, Err(Error::NotMounted), None);
    assert_eq!((bed.mount.in_flight(), bed.pool.available()), (0, BUFFERS));
}

#[test]
fn a_server_that_is_not_ready_is_asked_again_until_patience_ends() {
    let mut bed = Bed::new(1);
    bed.mount.later.wait_ns = 60;
    bed.mount.patience = Some((100, closed()));
    let not_ready = || Box::new(refused(Status::Jukebox));
    let mut slots: Vec<u32> = (0..3).map(|_| bed.mount.free.pop().unwrap()).collect();
    for &slot in &slots {
        let task = Task { op: Op::Null, role: Role::Plain, ..Task::vacant(bed.mount.root) };
        bed.mount.tasks[slot as usize] = task;
    }
    let hasty = slots.pop().unwrap();
    bed.mount.put_off(hasty, not_ready(), Timestamp(41));
    assert!(matches!(bed.done()[..], [Done { result: Err(Error::PutOff { .. }), .. }]));
    for &slot in &slots {
        bed.mount.put_off(slot, not_ready(), Timestamp(40));
    }
    assert_eq!((bed.mount.later.due(), bed.mount.later.waits), (Some(Timestamp(100)), 2));
    bed.mount.ask_again(Timestamp(99));
    assert!(bed.mount.waiting.is_empty() && bed.done().is_empty());
    bed.mount.gone(Error::NotMounted);
    assert_eq!((bed.done().len(), bed.mount.later.due()), (2, None), "both come back");
    assert_eq!(bed.mount.in_flight(), 0);
}

#[test]
fn patience_with_a_commit_begins_when_it_is_made() {
    let mut bed = Bed::new(4);
    bed.mount.now = Timestamp(1_000_000);
    bed.mount.later.wait_ns = 60;
    bed.mount.patience = Some((100, closed()));
    bed.write(1, 0, 10, V1);
    bed.sync(1);
    let (commit, _) = bed.send();
    let now = bed.mount.now;
    bed.mount.refused_by_server(commit, Box::new(refused(Status::Jukebox)), now);
    assert_eq!(bed.mount.later.waits, 1);
    let at = bed.mount.kept.by_handle[&file(1).handle];
    assert!(matches!(bed.mount.kept.file(at).phase, Phase::Committing));
}

#[test]
fn memory_of_a_result_that_was_only_looked_at_goes_back() {
    let mut bed = Bed::new(1);
    let results = [Output::Read { count: 1, eof: false }, Output::Nothing];
    for result in results {
        let slot = bed.mount.free.pop().unwrap();
        let buffer = bed.pool.alloc();
        let dir = file(1);
        let op = Op::Remove { dir, name: "x".into() };
        let role = Role::Plain;
        bed.mount.tasks[slot as usize] = Task { op, role, buffer, ..Task::vacant(dir.handle) };
        bed.mount.tasks[slot as usize].put(Ok(result));
        bed.mount.answer(slot);
        assert!(matches!(bed.mount.tasks[slot as usize].op, Op::Null), "a name is memory too");
        assert!(matches!(bed.mount.tasks[slot as usize].role, Role::Vacant));
        assert_eq!((bed.mount.in_flight(), bed.pool.available()), (0, BUFFERS - 1));
        assert_eq!(bed.mount.look_at_done(|done| done.tag), Some(0));
        assert_eq!(bed.pool.available(), BUFFERS);
        assert!(bed.mount.look_at_done(|_| ()).is_none());
    }
}

#[test]
fn what_a_mount_does_for_itself_takes_nobodys_place() {
    let mut bed = Bed::new(4);
    bed.write(1, 0, 10, V1);
    bed.done().clear();
    bed.sync(1);
    assert_eq!((bed.mount.kept.own, bed.mount.in_flight()), (1, 2));
    for _ in 1..DEPTH {
        assert!(bed.submit(Op::Null));
    }
    assert!(!bed.submit(Op::Null), "the fsync has the last place");
    assert_eq!(bed.mount.in_flight(), DEPTH as usize + 1);
    bed.commit(Ok(V1));
    bed.done().clear();
    assert!(bed.submit(Op::Null));
}

#[test]
fn what_a_mount_asks_first_may_wait_as_long_as_anything() {
    let mut bed = Bed::new(2);
    bed.mount.state = MountState::Mounting;
    bed.mount.established(&mut bed.endpoint, Timestamp(7));
    let slot = *bed.mount.waiting.front().expect("it waits: there is no connection");
    let task = &bed.mount.tasks[slot as usize];
    assert!(matches!(task.op, Op::Fsinfo { .. }) && task.since == Timestamp(7));
}

#[test]
fn what_goes_on_when_the_mount_is_gone_ends_with_its_error() {
    let mut bed = Bed::new(2);
    let (slot, _) = bed.take(Op::Getattr { file: file(1) });
    assert!(!bed.mount.start(slot, &mut bed.endpoint, Timestamp(0)), "it waits for a connection");
    bed.mount.state = MountState::Gone(closed().into());
    assert!(bed.mount.start(slot, &mut bed.endpoint, Timestamp(0)));
    let error = bed.done().pop().unwrap().result.unwrap_err();
    assert_eq!(error.to_string(), Error::from(closed()).to_string());
}
