//! Where fuzzing begins: one good example of each kind, and the classic faults of XDR decoders:
//! negative lengths, lengths that overflow when they are multiplied, lists that go on and on,
//! lengths past the end, missing pads.

const NEGATIVE: u32 = u32::MAX;
/// Times 16 that is 16, times 4 it is 4, in 32 bits.
const OVERFLOWS_16: u32 = (1 << 28) + 1;
const OVERFLOWS_4: u32 = (1 << 30) + 1;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A first byte, words, then bytes.
fn of_kind(kind: u8, head: &[u32], tail: &[u8]) -> Vec<u8> {
    [&[kind], &words(head)[..], tail].concat()
}

/// The seeds of a target.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new(), vec![0; 64], vec![0xff; 64], (0..=255).collect()];
    seeds.extend(match target {
        "header" => header(),
        "rpc" => rpc(),
        "nfs-results" => nfs_results(),
        "nfs-args" => nfs_args(),
        "mount" => mount(),
        "rpcbind" => rpcbind(),
        "private-data" => private_data(),
        "job-file" => texts(JOB_FILES),
        "config" => texts(CONFIGS),
        "orders" => texts(ORDERS),
        "url" => texts(URLS),
        "backward-call" => backward_call(),
        _ => Vec::new(),
    });
    seeds
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn header() -> Vec<Vec<u8>> {
    let endless: Vec<u32> = [7, 1, 1, 0].into_iter().chain([1; 120]).collect();
    [
        &[7, 1, 32, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0][..],
        &[7, 1, 32, 1, 1, 132, 0x11, 4096, 0, 4096, 0, 1, 1, 0x22, 64, 0, 8, 0, 1, 1, 3, 9, 0, 8],
        &[7, 1, 32, 4, 1, 1, 1],
        &[7, 1, 32, 4, 2],
        &[7, 1, 1, 0, 0, 1, NEGATIVE, 0, 0, 0, 0],
        &[7, 1, 1, 0, 0, 1, OVERFLOWS_16, 1, 2, 3, 4, 0, 0],
        &[7, 1, 1, 0, 0, 0, 1, 2, 1, 2, 3, 4],
        &endless,
    ]
    .map(words)
    .into()
}

fn rpc() -> Vec<Vec<u8>> {
    [
        &[7, 1, 0, 0, 0, 0][..],
        &[7, 1, 0, 1, 8, 0x0102_0304, 0x0506_0708, 2, 3, 4],
        &[7, 1, 1, 0, 2, 2],
        &[7, 1, 1, 1, 5],
        &[7, 1, 0, 0, NEGATIVE, 0],
        &[7, 1, 0, 0, 401, 0],
        &[7, 1, 0, 0, 3],
        &[7, 0, 2, 100_003, 3, 1, 1, 28, 0, 4, 0x7465_7374, 0, 0, 1, 5, 0, 0],
        &[7, 0, 2, 100_003, 3, 1, 1, 24, 0, 0, 0, 0, OVERFLOWS_4, 1, 0, 0],
    ]
    .map(words)
    .into()
}

/// Attributes of a file, as XDR.
const ATTRIBUTES: [u32; 21] =
    [1, 0o644, 1, 0, 0, 0, 4096, 0, 4096, 0, 0, 0, 1, 0, 2, 1, 0, 1, 0, 1, 0];

fn nfs_results() -> Vec<Vec<u8>> {
    let some: Vec<u32> = [1].into_iter().chain(ATTRIBUTES).collect();
    let with = |parts: &[&[u32]]| parts.concat();
    let wcc = with(&[&[1, 0, 4096, 1, 0, 1, 0], &some]);
    let entry = |len: u32| with(&[&[1, 0, 5, len, 0x6162_6300, 0, 9], &some, &[1, 4, 0xabcd_ef01]]);
    let list: Vec<u32> = (0..10).flat_map(|_| entry(3)).collect();
    vec![
        of_kind(0, &with(&[&[0], &ATTRIBUTES]), &[]),
        of_kind(1, &with(&[&[0], &wcc]), &[]),
        of_kind(2, &with(&[&[0, 4, 0x0102_0304], &some, &some]), &[]),
        of_kind(2, &[0, 65], &[1; 80]),
        of_kind(2, &[0, NEGATIVE], &[1; 80]),
        of_kind(2, &[0, 3], &[1; 3]),
        of_kind(3, &with(&[&[0], &some, &[0x3f]]), &[]),
        of_kind(4, &with(&[&[0], &some, &[5, 1, 5]]), b"hello\0\0\0"),
        of_kind(4, &with(&[&[0, 0], &[5, 1, 5]]), b"hello"),
        of_kind(4, &with(&[&[0, 0], &[5, 1, NEGATIVE]]), b"hello\0\0\0"),
        of_kind(4, &with(&[&[0, 0], &[NEGATIVE, 1, NEGATIVE]]), b"hello\0\0\0"),
        of_kind(5, &with(&[&[0], &wcc, &[4096, 2, 1, 2]]), &[]),
        of_kind(6, &with(&[&[0, 1, 4, 0x0102_0304], &some, &wcc]), &[]),
        of_kind(7, &with(&[&[2], &wcc]), &[]),
        of_kind(8, &with(&[&[0], &wcc, &wcc]), &[]),
        of_kind(9, &with(&[&[0], &some, &[0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 3]]), &[]),
        of_kind(
            10,
            &with(&[
                &[0],
                &some,
                &[1 << 20, 1 << 20, 1, 1 << 20, 1 << 20, 1, 8192, 1, 0, 0, 1, 27],
            ]),
            &[],
        ),
        of_kind(11, &with(&[&[0], &wcc, &[1, 2]]), &[]),
        of_kind(13, &with(&[&[0], &some, &[0, 7], &list, &[0, 1]]), &[]),
        of_kind(13, &with(&[&[0, 0, 0, 7], &entry(NEGATIVE), &[0, 1]]), &[]),
        of_kind(13, &with(&[&[0, 0, 0, 7], &entry(256), &[0, 1]]), &[]),
        of_kind(13, &with(&[&[0, 0, 0, 7], &[1; 200]]), &[]),
    ]
}

fn nfs_args() -> Vec<Vec<u8>> {
    let handle = [4, 0x0102_0304];
    let name = [3, 0x6162_6300];
    let with = |parts: &[&[u32]]| parts.concat();
    vec![
        of_kind(0, &handle, &[]),
        of_kind(0, &[NEGATIVE], &[0; 64]),
        of_kind(1, &with(&[&handle, &[1, 0o644, 0, 0, 1, 0, 9, 2, 1, 2, 1, 0]]), &[]),
        of_kind(2, &with(&[&handle, &name]), &[]),
        of_kind(2, &with(&[&handle, &[NEGATIVE]]), &[0; 8]),
        of_kind(4, &with(&[&handle, &[0, 4096, 4096]]), &[]),
        of_kind(5, &with(&[&handle, &[0, 4096, 5, 2, 5]]), b"hello\0\0\0"),
        of_kind(5, &with(&[&handle, &[0, 4096, 5, 2, NEGATIVE]]), b"hello"),
        of_kind(6, &with(&[&handle, &name, &[2, 1, 2]]), &[]),
        of_kind(6, &with(&[&handle, &name, &[0, 0, 0, 0, 0, 0, 0]]), &[]),
        of_kind(8, &with(&[&handle, &name, &handle, &name]), &[]),
        of_kind(9, &with(&[&handle, &[0, 1, 0, 2, 512, 4096]]), &[]),
    ]
}

fn mount() -> Vec<Vec<u8>> {
    let export = [1, 4, 0x2f61_6263, 1, 3, 0x6162_6300, 0];
    vec![
        of_kind(0, &[0, 4, 0x0102_0304, 2, 1, 0], &[]),
        of_kind(0, &[0, 4, 0x0102_0304, OVERFLOWS_4, 1], &[]),
        of_kind(0, &[0, NEGATIVE], &[0; 80]),
        of_kind(0, &[13], &[]),
        of_kind(1, &[4, 0x2f61_6263], &[]),
        of_kind(1, &[1025], &[b'/'; 1028]),
        of_kind(2, &[&export[..], &export, &[0]].concat(), &[]),
        of_kind(2, &[1; 200], &[]),
        of_kind(2, &[1, NEGATIVE], &[0; 64]),
    ]
}

fn rpcbind() -> Vec<Vec<u8>> {
    vec![
        of_kind(0, &[20049], &[]),
        of_kind(0, &[65_536], &[]),
        of_kind(1, &[100_005, 3, 6, 0], &[]),
        of_kind(2, &[100_005, 3, 3, 0x7463_7000, 0, 0], &[]),
        of_kind(3, &[16], b"192.168.1.1.3.22"),
        of_kind(3, &[8], b"::1.8.10"),
        of_kind(3, &[13], b"::1.99999.256\0\0\0"),
        of_kind(3, &[NEGATIVE], b"::1.8.10"),
        of_kind(3, &[5], b"1.2.3"),
    ]
}

fn private_data() -> Vec<Vec<u8>> {
    let message = [0xf6, 0xab, 0x0e, 0x18, 1, 1, 3, 255];
    let padded =
        |before: usize, after: usize| [&vec![0; before][..], &message, &vec![0; after]].concat();
    let mut newer = message;
    newer[4] = 2;
    vec![padded(0, 188), padded(3, 0), padded(0, 0), message[..7].to_vec(), newer.to_vec()]
}

fn backward_call() -> Vec<Vec<u8>> {
    vec![
        of_kind(1, &[7, 0, 2, 0x4000_0000, 1, 1, 0, 0, 0, 0], &[]),
        of_kind(1, &[7, 0, 2, 0x4000_0000, 1, 1, 1, NEGATIVE, 0, 0], &[]),
        of_kind(0, &[7, 1, 1, 0, 1, 40, 1, 4, 0, 4, 0, 0, 0, 7, 0, 2, 100, 1, 1, 0, 0, 0, 0], &[]),
        of_kind(0, &[7, 1, 1, 1, 1, 0, 1, 4, 0, 4, 0, 0, 0], &[]),
        of_kind(0, &[7, 1, 1, 4, 2], &[]),
    ]
}

const JOB_FILES: &[&str] = &[
    include_str!("../../../conf/mixed.fio"),
    include_str!("../../../conf/randread-4k.fio"),
    include_str!("../../../conf/randwrite-verify.fio"),
    "[global]\nsize=18446744073709551615\n[a]\nrw=randrw:8\nbs=4k-1m,8k\nbssplit=4k/10:64k/90\n",
    "[a]\nrw=read\nsize=$ncpus*1m\noffset=50%\nnumjobs=4096\nloops=4294967296\n",
    "[a]\nrw=write\nsize=1e400\nrate=1k,,2k\nrandom_distribution=zipf:1.2\nzonemode=strided\n",
    "[global\n[]\n=1\ninclude /dev/zero\nrw\n\u{feff}[b]\nverify_pattern=0xdeadbeef\"x\"-1\n",
];

const CONFIGS: &[&str] = &[
    include_str!("../../../conf/initiator.toml"),
    "[transport]\ninline = \"4k\"\nmax_requests = 4294967295\nnconnect = 65537\n",
    "[transport]\ninline = -1\nsend_batch = 18446744073709551616\n[memory]\nhugepages = \"on\"\n",
    "[reactor]\ncores = \"0-4095,1\"\nidle = \"adaptive\"\ncq_depth = 0\npoll_batch = 0\n",
    "[\"a\nb\"]\n",
    "transport = 1\nmemory.page_size = \"2m\"\nmemory = {}\n",
];

const ORDERS: &[&str] = &[
    "drop-replies=3,credits=1,status=STALE:READ:2",
    "delay-replies=5ms,restart-every=100,change-verifier",
    "delay-replies=18446744073709551615s",
    "status=:,status=NOSPC,credits=-1",
];

const URLS: &[&str] = &[
    "nfs://server/export/path",
    "nfs://[fe80::1]:20049/",
    "nfs://10.0.0.1:0//a/./b/",
    "nfs://[::1/../",
];
