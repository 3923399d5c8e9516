use crate::generate::Direction::{Read, Write};
use crate::job::Instance;
use crate::jobfile::JobFile;
use crate::progress::Phase;
use crate::runner::{Limits, Runner, RunnerProgress, RunnerSet};
use crate::testing::{Did, Memory, PAYLOAD_BYTES_MAX, TURN_NS, error, finish, run, runner};
use std::collections::BTreeSet;

fn message(result: &crate::JobResult) -> &str {
    result.failure.as_ref().map_or("", |f| &f.message)
}

fn writes(backend: &Memory) -> Vec<(u64, u32)> {
    let write = |did: &Did| match did {
        Did::Write(_, offset, len) => Some((*offset, *len)),
        _ => None,
    };
    backend.log.iter().filter_map(write).collect()
}

#[test]
fn a_write_job_writes_each_block_once_and_keeps_the_queue_full() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=randwrite\nsize=4m\niodepth=16\n", &mut backend);
    assert_eq!(result.failure, None);
    assert_eq!(result.direction(Write).ios, 1024);
    assert_eq!(result.direction(Write).bytes, 4 << 20);
    assert_eq!(result.direction(Read).ios, 0);
    assert_eq!(result.issued, [0, 1024, 0]);
    let blocks: BTreeSet<_> = writes(&backend).into_iter().collect();
    assert_eq!(blocks.len(), 1024);
    assert_eq!(backend.in_flight_max, 16);
    assert_eq!(backend.files["j.0.0"].len(), 4 << 20);
    // Data: no two pages alike, none of zeros.
    let pages: BTreeSet<&[u8]> = backend.files["j.0.0"].chunks(4096).collect();
    assert_eq!(pages.len(), 1024);
}

#[test]
fn a_read_job_lays_its_files_out_first_with_large_writes_and_commits_them() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=randread\nsize=6m\nnrfiles=2\niodepth=4\noffset=8k\n", &mut backend);
    assert_eq!(result.failure, None);
    assert_eq!(result.direction(Read).bytes, 6 << 20);
    assert_eq!(result.direction(Write).ios, 0, "layout is not measured");
    assert_eq!(backend.files["j.0.0"].len(), (3 << 20) + 8192);
    assert!(writes(&backend).iter().any(|(_, len)| *len == PAYLOAD_BYTES_MAX));
    let commit = backend.log.iter().position(|d| matches!(d, Did::Commit(_)));
    let read = backend.log.iter().position(|d| matches!(d, Did::Read(..)));
    assert!(commit.is_some() && commit < read);
    let pages: BTreeSet<&[u8]> = backend.files["j.0.0"].chunks(4096).collect();
    assert_eq!(pages.len(), 770, "no two pages alike");
    // A second run finds the files and lays nothing out.
    backend.log.clear();
    run("[j]\nrw=randread\nsize=6m\nnrfiles=2\niodepth=4\noffset=8k\n", &mut backend);
    assert_eq!(writes(&backend), []);
}

#[test]
fn a_layout_makes_do_with_small_buffers() {
    let mut backend = Memory { buffer_bytes_max: 8192, ..Memory::default() };
    let result = run("[j]\nrw=read\nsize=100k\n", &mut backend);
    assert_eq!(result.failure, None);
    assert_eq!(result.direction(Read).bytes, 100 << 10);
    assert!(writes(&backend).iter().all(|(_, len)| *len <= 8192));
}

#[test]
fn a_job_larger_than_the_server_says_both_numbers_and_writes_nothing() {
    for rw in ["read", "write", "randrw"] {
        let mut backend = Memory { space: 1 << 20, ..Memory::default() };
        let result = run(&format!("[big]\nrw={rw}\nsize=2m\n"), &mut backend);
        let failure = result.failure.as_ref().expect("it cannot fit");
        assert_eq!(failure.errno, 28);
        assert_eq!(
            failure.message,
            "job 'big': its files need 2097152 more bytes, the server has 1048576 free; use a smaller size="
        );
        assert_eq!(writes(&backend), []);
    }
}

#[test]
fn without_size_a_read_job_reads_what_is_there() {
    let mut backend = Memory::default();
    backend.files.insert("data".into(), vec![1; 40_000]);
    let result = run("[j]\nrw=read\nfilename=/data\n", &mut backend);
    assert_eq!(result.direction(Read).ios, 9);
    backend.files.insert("data".into(), vec![]);
    let result = run("[j]\nrw=read\nfilename=/data\n", &mut backend);
    assert!(message(&result).contains("'data' has 0 bytes"), "{}", message(&result));
}

#[test]
fn full_queues_refusals_dry_pools_and_short_answers_only_slow_it_down() {
    for verify in ["", "verify=crc32c\n", "verify=pattern\nverify_pattern=\"ab\"%o\n"] {
        let mut backend = Memory {
            queue_max: 7,
            refuse_every: 3,
            pool_max: 5,
            short_every: 11,
            late_polls_max: 9,
            ..Memory::default()
        };
        let job = format!("[j]\nrw=randrw\nsize=2m\niodepth=32\nbs=8k\n{verify}");
        let result = run(&job, &mut backend);
        assert_eq!(result.failure, None);
        let ran = result.direction(Read).ios + result.direction(Write).ios;
        let checked = if verify.is_empty() { 0 } else { result.direction(Write).ios };
        assert_eq!(ran, 256 + checked);
        assert!(result.direction(Write).short_ios > 0);
        assert!(result.direction(Read).slat.max() > 0, "waiting for the queue is slat");
    }
}

#[test]
fn a_pool_that_stays_dry_ends_the_job_with_a_message() {
    let mut backend = Memory { pool_max: 0, ..Memory::default() };
    let mut job = runner("[j]\nrw=write\nsize=1m\n");
    let mut now_ns = 0;
    while job.turn(now_ns, &mut backend) != RunnerProgress::Finished {
        now_ns += 10_000_000;
        assert!(now_ns < 20_000_000_000, "it waits for ever");
    }
    let result = job.into_result();
    assert!(message(&result).contains("no I/O buffer"), "{}", message(&result));
}

#[test]
fn the_first_error_ends_the_job_and_tells_the_whole_story() {
    let mut backend = Memory {
        fails: Box::new(|did| match did {
            Did::Write(_, 16384, _) => Some(error(5, "WRITE: the server answered NFS3ERR_IO")),
            _ => None,
        }),
        ..Memory::default()
    };
    let result = run("[j]\nrw=write\nsize=1m\niodepth=8\n", &mut backend);
    let failure = result.failure.as_ref().expect("the write failed");
    assert_eq!(failure.errno, 5);
    assert_eq!(
        failure.message,
        "job 'j': write of 4096 bytes at offset 16384 of 'j.0.0' failed: WRITE: the server answered NFS3ERR_IO"
    );
    assert!(result.direction(Write).ios < 256);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=read\nfilename=gone\n", &mut backend);
    assert_eq!(
        message(&result),
        "job 'j': open of 'gone' failed: LOOKUP gone: no such file or directory"
    );
}

#[test]
fn a_file_that_shrinks_under_a_reader_is_an_error_not_a_loop() {
    let mut backend = Memory::default();
    backend.files.insert("f".into(), vec![0; 1 << 20]);
    let mut runner = runner("[j]\nrw=read\nfilename=f\nsize=1m\n");
    for turn in 0..20 {
        runner.turn(turn, &mut backend);
    }
    backend.files.insert("f".into(), vec![]);
    let result = finish(runner, &mut backend);
    assert!(message(&result).contains("end of file"), "{}", message(&result));
}

#[test]
fn verify_reads_back_every_block_that_was_written() {
    for rw in ["write", "randwrite", "rw", "randrw"] {
        let mut backend = Memory::default();
        let job = format!("[j]\nrw={rw}\nsize=1m\niodepth=8\nverify=crc32c\nnrfiles=3\n");
        let result = run(&job, &mut backend);
        assert_eq!(result.failure, None);
        let written: BTreeSet<_> = result_blocks(&backend);
        let reads = backend.log.iter().rev().take(written.len());
        let read: BTreeSet<_> = reads
            .filter_map(|did| match did {
                Did::Read(name, offset, _) => Some((name.clone(), *offset)),
                _ => None,
            })
            .collect();
        assert_eq!(read, written);
    }
}

/// Blocks written by the job itself: in mixed jobs the layout wrote too, with larger blocks.
fn result_blocks(backend: &Memory) -> BTreeSet<(String, u64)> {
    let block = |did: &Did| match did {
        Did::Write(name, offset, 4096) => Some((name.clone(), *offset)),
        _ => None,
    };
    backend.log.iter().filter_map(block).collect()
}

#[test]
fn overlapping_random_writes_under_verify_are_never_in_flight_together() {
    let mut backend = Memory { late_polls_max: 20, ..Memory::default() };
    let job = "[j]\nrw=randwrite\nsize=64k\nio_size=8m\niodepth=12\nnorandommap\nverify=crc32c\n";
    let result = run(job, &mut backend);
    assert_eq!(result.failure, None);
    assert_eq!(backend.overlapping_writes, 0);
    assert_eq!(result.direction(Write).ios, 2048);
}

/// Runs a verify job, and between the writing and the checking changes one byte.
fn flip(verify: &str, at: usize) -> crate::JobResult {
    let job = format!("[w]\nrw=randwrite\nsize=1m\nfilename=f\n{verify}do_verify=0\n");
    let mut backend = Memory::default();
    assert_eq!(run(&job, &mut backend).failure, None);
    backend.files.get_mut("f").expect("written")[at] ^= 0x20;
    run(&format!("[r]\nrw=read\nsize=1m\nfilename=f\niodepth=4\n{verify}"), &mut backend)
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    for verify in ["verify=crc32c\n", "verify=pattern\nverify_pattern=0xdeadbeef%o\n"] {
        for at in [8192, 8192 + 20, 8192 + 31, 8192 + 32, 8192 + 4095] {
            let result = flip(verify, at);
            let failure = result.failure.expect("the byte was flipped");
            assert_eq!(failure.errno, 84);
            let start = "job 'r': verify of 'f' failed at offset 8192, length 4096: ";
            assert!(failure.message.starts_with(start), "{}", failure.message);
            assert!(failure.message.contains("expected"), "{}", failure.message);
        }
    }
}

#[test]
fn a_lost_write_is_found_although_the_old_block_is_sound() {
    let mut backend = Memory::default();
    let mut job = runner("[j]\nrw=write\nsize=64k\nloops=2\nverify=crc32c\n");
    let mut old = None;
    for turn in 0.. {
        if job.turn(turn * TURN_NS, &mut backend) == RunnerProgress::Finished {
            break;
        }
        if let (None, Phase::Verifying) = (&old, job.progress().snapshot().phase) {
            old = Some(backend.files["j.0.0"][4096..8192].to_vec());
        }
        // Second loop: the server forgets block 1.
        if let (Some(old), true) = (&old, backend.log.len() > 16 * 3) {
            backend.files.get_mut("j.0.0").expect("there")[4096..8192].copy_from_slice(old);
        }
    }
    let result = job.into_result();
    assert!(message(&result).contains("wrong write number"), "{}", message(&result));
}

#[test]
fn verifying_a_file_that_was_never_written_says_so() {
    let mut backend = Memory::default();
    backend.files.insert("f".into(), vec![7; 4096]);
    let result = run("[j]\nrw=read\nsize=1m\nfilename=f\nverify=crc32c\n", &mut backend);
    assert!(message(&result).contains("write it first"), "{}", message(&result));
    let result = run("[j]\nrw=read\nsize=4k\nfilename=f\nverify=crc32c\n", &mut backend);
    assert!(message(&result).contains("not written with verify=crc32c"), "{}", message(&result));
}

#[test]
fn runtime_ends_a_time_based_job_and_the_ramp_is_not_measured() {
    let mut backend = Memory::default();
    let job = "[j]\nrw=randread\nsize=64k\niodepth=4\ntime_based\nruntime=2\nramp_time=500ms\n";
    let mut runner = runner(job);
    let mut now = 0;
    while runner.turn(now, &mut backend) != RunnerProgress::Finished {
        now += 100_000;
    }
    let result = runner.into_result();
    let stats = result.direction(Read);
    assert!((2_000_000_000..2_010_000_000).contains(&stats.runtime_ns), "{}", stats.runtime_ns);
    assert!((2_500_000_000..2_520_000_000).contains(&now), "{now}");
    let all = backend.log.iter().filter(|d| matches!(d, Did::Read(..))).count() as u64;
    let share = stats.ios as f64 / all as f64;
    assert!((0.75..0.85).contains(&share), "four fifths are measured: {share}");
    assert_eq!(stats.iops.samples, 4);
    assert!((stats.iops.mean / stats.iops_mean() - 1.0).abs() < 0.05);
}

#[test]
fn commits_follow_every_so_many_writes_and_the_end() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=write\nsize=64k\nfsync=4\nend_fsync=1\n", &mut backend);
    // As in fio the run is over before the fourth; end_fsync does the last.
    assert_eq!(result.issued, [0, 16, 4]);
    assert_eq!(result.sync.moments.count(), 4);
    assert!(matches!(backend.log.last(), Some(Did::Commit(_))));
}

#[test]
fn stop_drains_and_reports() {
    let mut backend = Memory::default();
    let mut job = runner("[j]\nrw=randwrite\nsize=32m\niodepth=8\nverify=crc32c\n");
    for turn in 0..500 {
        job.turn(turn * TURN_NS, &mut backend);
    }
    job.stop();
    let progress = job.progress();
    let result = finish(job, &mut backend);
    assert_eq!(result.failure, None);
    assert!(result.direction(Write).ios > 100);
    assert_eq!(result.direction(Write).ios, result.issued[1]);
    assert_eq!(backend.buffers_out(), 0);
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.phase, snapshot.in_flight), (Phase::Finished, 0));
    assert_eq!(snapshot.ios, result.direction(Write).ios);
}

#[test]
fn the_mix_is_as_asked() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=randrw\nrwmixread=70\nsize=32m\niodepth=16\n", &mut backend);
    let reads = result.direction(Read).ios as f64 / 8192.0;
    assert!((0.68..0.72).contains(&reads), "{reads}");
}

#[test]
fn runners_that_share_a_backend_get_their_own_completions() {
    let text =
        "[a]\nrw=randwrite\nsize=1m\nnumjobs=3\niodepth=8\nverify=crc32c\n[b]\nrw=read\nsize=1m\n";
    let file = JobFile::parse(text.as_bytes(), "t").expect("right");
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    let runners = Instance::of(&file.jobs)
        .iter()
        .enumerate()
        .map(|(id, instance)| Runner::new(instance, limits, id as u32).expect("fits"))
        .collect();
    let mut set = RunnerSet::new(runners);
    let mut backend = Memory { queue_max: 10, ..Memory::default() };
    let mut turn = 0;
    while set.turn(turn * TURN_NS, &mut backend) != RunnerProgress::Finished {
        turn += 1;
        assert!(turn < 1_000_000, "it does not finish");
    }
    let results = set.into_results();
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|r| r.failure.is_none()));
    assert!(results[..3].iter().all(|r| r.direction(Write).ios == 256));
    assert_eq!(results[3].direction(Read).ios, 256);
}

#[test]
fn a_block_that_the_mount_cannot_carry_is_refused_with_its_line() {
    let file = JobFile::parse(b"[j]\nrw=read\nbs=2m\nsize=4m\n", "big.fio").expect("right");
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    let refused = Runner::<Memory>::new(&Instance::of(&file.jobs)[0], limits, 0).err();
    assert_eq!(
        refused.map(|e| e.to_string()).as_deref(),
        Some(
            "big.fio:3:1: bs=2097152 is more than one operation carries on this mount (1048576 bytes)"
        )
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    /// Whatever the job and however awkward the backend: it ends, moves every byte once, verifies,
    /// and gives every buffer back.
    #[test]
    fn any_job_on_any_backend_ends_well(
        rw in proptest::sample::select(vec!["read", "write", "randread", "randwrite", "rw", "randrw"]),
        verify in proptest::sample::select(vec!["", "verify=crc32c\n", "verify=pattern\nverify_pattern=%o\"x\"\n"]),
        bs in 88u32..5000, // of which verify=crc32c needs 88
        blocks in 1u64..80,
        files in 1u64..4,
        iodepth in 1u32..40,
        fsync in 0u32..5,
        queue_max in 1usize..40,
        pool_max in 1usize..40,
        refuse_every in 2u64..9,
        short_every in 2u64..50,
        late_polls_max in 0u64..9,
    ) {
        let size = u64::from(bs) * blocks * files;
        let writes = rw != "read" && rw != "randread";
        let verify = if writes { verify } else { "" };
        let job = format!(
            "[j]\nrw={rw}\nbs={bs}\nsize={size}\nnrfiles={files}\niodepth={iodepth}\nfsync={fsync}\nend_fsync=1\n{verify}"
        );
        let mut backend = Memory {
            queue_max, pool_max, refuse_every, short_every, late_polls_max,
            ..Memory::default()
        };
        let result = run(&job, &mut backend);
        proptest::prop_assert_eq!(&result.failure, &None);
        let written = result.direction(Write).bytes;
        let checked = if verify.is_empty() { 0 } else { written };
        proptest::prop_assert_eq!(result.direction(Read).bytes + written, size + checked);
        proptest::prop_assert_eq!(backend.overlapping_writes, 0);
    }
}

#[test]
fn latencies_reach_to_the_end_of_a_poll_that_takes_long() {
    let mut backend = Memory { late_polls_max: 0, poll_ns: 7_000, ..Memory::default() };
    let result = run("[j]\nrw=randwrite\nsize=1m\niodepth=16\nfsync=16\n", &mut backend);
    let latencies = &result.direction(Write).lat;
    assert_eq!((latencies.min(), latencies.max()), (7_000, 7_000), "not 0: one turn's clock");
    assert!(result.sync.moments.min() >= 7_000);
}
