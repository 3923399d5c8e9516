use std::net::Shutdown;
use std::time::Duration;

use wire::nfs3::FileHandle;
use wire::rpc::{Auth, CallTemplate};
use wire::xdr::Encode;

use super::*;
use crate::fs::MemFs;

struct World {
    mountd: Mountd,
    fs: AnyFs,
    now: Timestamp,
    stats: Arc<Stats>,
}

impl World {
    fn new() -> Self {
        let mut fs = AnyFs::Memory(MemFs::new(1 << 20, 1));
        fs.make_path("/data/deep/below").unwrap();
        let stats = Arc::<Stats>::default();
        let exports = ["/data/deep".to_owned(), "/".to_owned()];
        let addr = "127.0.0.1:0".parse().unwrap();
        let mountd = Mountd::listen(addr, &exports, Arc::clone(&stats)).unwrap();
        Self { mountd, fs, now: Timestamp(1), stats }
    }

    fn connect(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.mountd.local_addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        stream
    }

    fn poll(&mut self) {
        self.mountd.poll(self.now, &mut self.fs);
    }

    /// What arrives until nothing does; `None` when the connection is closed.
    fn receive(&mut self, stream: &mut TcpStream, wanted: usize) -> Option<Vec<u8>> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        for _ in 0..2000 {
            self.poll();
            match stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => bytes.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
            if bytes.len() >= wanted {
                return Some(bytes);
            }
        }
        panic!("{} of {wanted} bytes came", bytes.len());
    }

    /// One reply, without its mark.
    fn reply(&mut self, stream: &mut TcpStream) -> Option<Vec<u8>> {
        let mut bytes = self.receive(stream, 4)?;
        let mark = Mark::parse(*bytes.first_chunk().unwrap()).unwrap();
        assert!(mark.last);
        let left = (4 + mark.len as usize).saturating_sub(bytes.len());
        if left > 0 {
            bytes.extend(self.receive(stream, left)?);
        }
        Some(bytes[4..].to_vec())
    }

    fn mount(&mut self, path: &str) -> MountRes {
        let mut stream = self.connect();
        stream.write_all(&marked(&call(procedure::MNT, &DirPath(path.as_bytes())))).unwrap();
        let reply = self.reply(&mut stream).unwrap();
        let mut r = results(&reply);
        r.value().unwrap()
    }
}

fn call(procedure: u32, args: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    let mut w = Writer::new(&mut bytes);
    let template = CallTemplate::new(mount::PROGRAM, mount::VERSION, &Auth::None);
    template.write(7, procedure, &mut w).unwrap();
    w.value(args).unwrap();
    let len = w.position();
    bytes.truncate(len);
    bytes
}

fn marked(call: &[u8]) -> Vec<u8> {
    let mut bytes = Mark { last: true, len: call.len() as u32 }.encode().to_vec();
    bytes.extend(call);
    bytes
}

fn results(reply: &[u8]) -> Reader<'_> {
    let mut r = Reader::new(reply);
    assert_eq!(r.value::<Reply>().unwrap(), Reply::success(7));
    r
}

#[test]
fn exported_paths_mount_and_others_do_not() {
    let mut world = World::new();
    let deep = to_wire(world.fs.resolve("/data/deep").unwrap());
    let handle = |mounted: MountRes| -> Result<FileHandle, MountStatus> {
        mounted.map(|mounted| mounted.handle)
    };
    assert_eq!(handle(world.mount("/data/deep")), Ok(deep));
    assert_eq!(handle(world.mount("/data/deep/")), Ok(deep));
    assert_eq!(handle(world.mount("/")), Ok(to_wire(world.fs.root())));
    assert_eq!(handle(world.mount("/data/deep/below")), Err(MountStatus::Access));
    assert_eq!(handle(world.mount("/data/deep/../deep")), Err(MountStatus::Access));
    assert_eq!(handle(world.mount("/nowhere")), Err(MountStatus::NoEnt));
    assert_eq!(handle(world.mount("")), Err(MountStatus::Access));
    assert_eq!(world.mount("/").unwrap().flavors.as_slice(), [flavor::SYS, flavor::NONE]);
}

#[test]
fn exports_are_listed_and_unmounting_is_polite() {
    let mut world = World::new();
    let mut stream = world.connect();
    for procedure in [procedure::NULL, procedure::UMNTALL] {
        stream.write_all(&marked(&call(procedure, &()))).unwrap();
        let reply = world.reply(&mut stream).unwrap();
        results(&reply).finish().unwrap();
    }
    stream.write_all(&marked(&call(procedure::UMNT, &DirPath(b"/")))).unwrap();
    results(&world.reply(&mut stream).unwrap()).finish().unwrap();
    stream.write_all(&marked(&call(procedure::EXPORT, &()))).unwrap();
    let reply = world.reply(&mut stream).unwrap();
    let exports: Exports<'_> = results(&reply).value().unwrap();
    let paths: Vec<_> = exports.iter().map(|export| export.path).collect();
    assert_eq!(paths, [b"/data/deep".as_slice(), b"/"]);
    assert_eq!(world.stats.mount_calls.get(), 4);
}

#[test]
fn a_call_in_many_fragments_and_many_calls_in_one_segment() {
    let mut world = World::new();
    let mut stream = world.connect();
    let call = call(procedure::NULL, &());
    for (index, part) in call.chunks(7).enumerate() {
        let last = 7 * index + part.len() == call.len();
        stream.write_all(&Mark { last, len: part.len() as u32 }.encode()).unwrap();
        world.poll();
        stream.write_all(part).unwrap();
    }
    assert!(world.reply(&mut stream).is_some());
    let many = marked(&call).repeat(40);
    stream.write_all(&many).unwrap();
    assert_eq!(world.receive(&mut stream, 40 * 28).unwrap().len(), 40 * 28);
}

#[test]
fn other_programs_and_procedures_are_refused_in_words() {
    let mut world = World::new();
    let mut stream = world.connect();
    let mut error = |word: usize, value: u32| {
        let mut call = call(procedure::NULL, &());
        call[4 * word..4 * word + 4].copy_from_slice(&value.to_be_bytes());
        stream.write_all(&marked(&call)).unwrap();
        let reply = world.reply(&mut stream).unwrap();
        Reader::new(&reply).value::<Reply>().unwrap().outcome.unwrap_err()
    };
    assert_eq!(error(3, 100_003), RpcError::ProgUnavail);
    assert_eq!(error(4, 1), RpcError::ProgMismatch { low: 3, high: 3 });
    assert_eq!(error(5, 9), RpcError::ProcUnavail);
    assert_eq!(error(5, procedure::MNT), RpcError::GarbageArgs);
}

#[test]
fn bad_bytes_close_the_connection_and_nothing_else() {
    let mut world = World::new();
    let mark = |last, len| Mark { last, len }.encode().to_vec();
    let cases: [Vec<u8>; 6] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        mark(true, 5000),
        mark(true, u32::MAX >> 1),
        mark(false, 0).repeat(1000),
        marked(b"short"),
        [mark(false, 1), vec![0]].concat().repeat(5000),
    ];
    for (number, bytes) in cases.iter().enumerate() {
        let mut stream = world.connect();
        world.poll();
        let _ = stream.write_all(bytes);
        assert_eq!(world.receive(&mut stream, 1), None, "case {number}");
        assert_eq!(world.stats.mount_dropped.get(), number as u64 + 1);
    }
    // Half a call and then the end.
    let mut stream = world.connect();
    stream.write_all(&marked(&call(procedure::NULL, &()))[..20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(world.receive(&mut stream, 1), None);
    assert_eq!(world.mountd.sessions.len(), 0);
    assert!(world.mount("/").is_ok());
}

#[test]
fn the_silent_are_closed_and_there_is_a_most_of_them() {
    let mut world = World::new();
    let mut streams: Vec<_> = (0..SESSIONS_MAX + 8).map(|_| world.connect()).collect();
    world.poll();
    assert_eq!(world.mountd.sessions.len(), SESSIONS_MAX);
    world.now = world.now.add_ns(SILENCE_NS_MAX + 1);
    world.poll();
    world.poll();
    assert_eq!(world.mountd.sessions.len(), 8, "those who waited");
    let last = streams.last_mut().unwrap();
    last.write_all(&marked(&call(procedure::NULL, &()))).unwrap();
    assert!(world.reply(last).is_some());
}
