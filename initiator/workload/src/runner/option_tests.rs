//! Options that decide when and for how long, with a clock of the test's own.

use crate::generate::Direction::{Read, Write};
use crate::job::Instance;
use crate::jobfile::JobFile;
use crate::progress::Phase;
use crate::runner::{Limits, Runner, RunnerProgress, RunnerSet};
use crate::stats::{JobResult, LogKind};
use crate::testing::{Did, Memory, PAYLOAD_BYTES_MAX, run, runner};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Length of a turn here.
const TURN_NS: u64 = MS / 10;

fn runners(text: &str) -> Vec<Runner<Memory>> {
    let file = JobFile::parse(text.as_bytes(), "t").expect("the test's job is right");
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    let runner = |(id, i): (u32, &Instance)| Runner::new(i, limits, id).expect("it fits");
    (0..).zip(&Instance::of(&file.jobs)).map(runner).collect()
}

/// Turns one runner until it ends; nothing happens in turns where `stalls`.
fn timed(text: &str, stalls: impl Fn(u64) -> bool) -> JobResult {
    let mut runner = runners(text).remove(0);
    let mut backend = Memory { late_polls_max: 0, ..Memory::default() };
    for turn in 0..1_000_000 {
        let now_ns = turn * TURN_NS;
        // A server that does nothing for a while answers everything late.
        backend.frozen = stalls(now_ns);
        if runner.turn(now_ns, &mut backend) == RunnerProgress::Finished {
            return runner.into_result();
        }
    }
    panic!("it does not end: {text}");
}

fn never(_: u64) -> bool {
    false
}

fn message(result: &JobResult) -> &str {
    result.failure.as_ref().map_or("", |f| &f.message)
}

/// The server does nothing from second 2 to second 3.
fn for_a_second(now_ns: u64) -> bool {
    (2 * SECOND..3 * SECOND).contains(&now_ns)
}

#[test]
fn an_open_loop_shows_a_stall_in_full_and_a_closed_loop_hides_it() {
    let job = "[j]\nrw=randread\nsize=1m\niodepth=4\ntime_based\nruntime=10\n";
    for process in ["poisson", "linear"] {
        let open = timed(&format!("{job}rate_iops=1000\nrate_process={process}\n"), for_a_second);
        let clat = &open.direction(Read).clat;
        // A tenth of the operations were due in the second of the stall, or while it was made up for.
        let p99 = clat.percentile(99.0);
        assert!(p99 > 850 * MS, "{process}: 99% took at most {p99} ns");
        let p95 = clat.percentile(95.0);
        assert!((400 * MS..700 * MS).contains(&p95), "{process}: 95% took at most {p95} ns");
        assert!(clat.moments.max() > 990 * MS);
        let ios = open.direction(Read).ios;
        assert!((9_500..10_500).contains(&ios), "{process}: what was due was asked: {ios}");
    }
    let closed = timed(job, for_a_second);
    assert!(closed.direction(Read).clat.percentile(99.9) < 2 * MS, "four of very many were slow");
}

#[test]
fn a_rate_is_kept_in_each_direction() {
    let result = timed("[j]\nrw=randrw\nsize=64m\nrate_iops=300,100\nruntime=5\n", never);
    let ios = [Read, Write].map(|d| result.direction(d).ios);
    assert!((1_450..1_510).contains(&ios[0]) && (480..510).contains(&ios[1]), "{ios:?}");
    let bytes = timed("[j]\nrw=write\nsize=8m\nrate=2m\n", never);
    assert!((3_900..4_100).contains(&(bytes.direction(Write).runtime_ns / MS)));
}

#[test]
fn a_minimum_that_is_not_met_ends_the_job_after_a_cycle() {
    let slow = |now_ns: u64| now_ns % (100 * MS) > 10 * MS && now_ns > 3 * SECOND;
    let job = "[j]\nrw=read\nsize=1m\ntime_based\nruntime=60\nrate_cycle=2000\n";
    let missed = timed(&format!("{job}rate_iops_min=4000\n"), slow);
    assert!(message(&missed).contains("rate_iops_min=4000 was not met: "), "{}", message(&missed));
    assert!(
        missed.elapsed_ns > 4 * SECOND && missed.elapsed_ns < 9 * SECOND,
        "{}",
        missed.elapsed_ns
    );
    assert_eq!(timed(&format!("{job}rate_iops_min=10\nruntime=6\n"), slow).failure, None);
}

#[test]
fn a_pause_comes_after_so_many_operations_or_so_much_work() {
    let elapsed = |options: &str| {
        let result = timed(&format!("[j]\nrw=read\nsize=64k\niodepth=4\n{options}\n"), never);
        (result.direction(Read).ios, result.elapsed_ns / MS)
    };
    let (ios, ms) = elapsed("thinktime=100ms\nthinktime_blocks=4");
    assert!(ios == 16 && (300..330).contains(&ms), "{ios} in {ms} ms");
    let (_, ms) = elapsed("thinktime=100ms\nthinktime_blocks=8\nthinktime_blocks_type=issue");
    assert!((100..130).contains(&ms), "{ms} ms");
    let (ios, ms) =
        elapsed("thinktime=1s\nthinktime_iotime=1\ntime_based\nruntime=6\nrate_iops=100");
    assert!((350..650).contains(&ios) && ms > 5_900, "{ios} in {ms} ms");
    // Without catching up, half of the time is lost to the rate.
    let (ios, _) = elapsed(
        "thinktime=1s\nthinktime_iotime=1\ntime_based\nruntime=6\nrate_iops=100\nrate_ignore_thinktime=1",
    );
    assert!((250..=350).contains(&ios), "{ios}");
}

#[test]
fn a_latency_target_finds_the_depth() {
    // The backend of the tests answers at the next turn, whatever the depth.
    let job =
        "[j]\nrw=randread\nsize=1m\ntime_based\nruntime=30\niodepth=32\nlatency_window=200ms\n";
    let easy = timed(&format!("{job}latency_target=10ms\n"), never);
    assert_eq!((easy.failure.as_ref(), easy.latency_depth), (None, 32));
    assert!(easy.elapsed_ns < 10 * SECOND, "it ends when the depth is found");
    let hard = timed(&format!("{job}latency_target=1\n"), |now_ns| now_ns / TURN_NS % 2 == 1);
    assert!(message(&hard).contains("latency_target=1 us is not met one operation at a time"));
}

#[test]
fn a_latency_percentile_forgives_the_rest() {
    let stall = |now_ns: u64| now_ns % (100 * MS) > 99 * MS;
    let job = "[j]\nrw=randread\nsize=1m\ntime_based\nruntime=5\niodepth=8\nlatency_window=300ms\nlatency_target=500\nlatency_run=1\n";
    let strict = timed(job, stall);
    assert!(!message(&strict).is_empty());
    assert_eq!(timed(&format!("{job}latency_percentile=90\n"), stall).failure, None);
}

#[test]
fn an_operation_that_takes_too_long_ends_the_job_and_is_named() {
    let result =
        timed("[j]\nrw=read\nsize=1m\ntime_based\nruntime=9\nmax_latency=500ms\n", for_a_second);
    let said = message(&result);
    assert!(
        said.contains("read of 4096 bytes at offset") && said.contains("max_latency is 500000 us"),
        "{said}"
    );
}

#[test]
fn a_steady_rate_ends_the_job() {
    for rule in ["iops:2%", "iops_slope:1%", "bw:10%", "bw_slope:5%"] {
        let job = format!(
            "[j]\nrw=read\nsize=1m\ntime_based\nruntime=60\nrate_iops=500\nsteadystate={rule}\nsteadystate_duration=4\nsteadystate_ramp_time=3\n"
        );
        let result = timed(&job, never);
        let found = result.steady.expect("it was looked at");
        assert!(found.attained && (480.0..520.0).contains(&found.iops_mean), "{rule}: {found:?}");
        assert!(
            (6 * SECOND..9 * SECOND).contains(&result.elapsed_ns),
            "{rule}: {}",
            result.elapsed_ns
        );
    }
    let never_steady = timed(
        "[j]\nrw=read\nsize=1m\ntime_based\nruntime=8\nrate_iops=500\nsteadystate=iops:1%\nsteadystate_duration=3\n",
        |now_ns| (now_ns / (SECOND / 2)).is_multiple_of(3),
    );
    assert!(!never_steady.steady.expect("it was looked at").attained);
}

#[test]
fn a_job_begins_after_the_one_it_waits_for_and_its_own_delay() {
    let text = "[a]\nrw=write\nsize=64k\n[b]\nwait_for=a\nstartdelay=500ms\nrw=write\nsize=64k\n";
    let mut set = RunnerSet::new(runners(text));
    let mut backend = Memory { late_polls_max: 0, ..Memory::default() };
    let mut now_ns = 0;
    while set.turn(now_ns, &mut backend) != RunnerProgress::Finished {
        now_ns += TURN_NS;
        assert!(now_ns < 5 * SECOND);
    }
    assert!(now_ns > 500 * MS);
    let opened = |name: &str| backend.log.iter().position(|did| *did == Did::Open(name.into()));
    let last_of_a =
        backend.log.iter().rposition(|did| matches!(did, Did::Write(f, ..) if f == "a.0.0"));
    assert!(opened("b.0.0") > last_of_a);
}

#[test]
fn the_end_of_one_ends_those_that_it_names() {
    let long = "rw=read\nsize=64k\ntime_based\nruntime=100\n";
    let ended = |options: &str, other: &str| {
        let text = format!("[a]\nrw=write\nsize=64k\n{options}\n[b]\n{long}{other}\n");
        let mut set = RunnerSet::new(runners(&text));
        let mut backend = Memory::default();
        let mut turn = 0;
        while set.turn(turn * TURN_NS, &mut backend) != RunnerProgress::Finished && turn < 20_000 {
            turn += 1;
        }
        turn < 20_000
    };
    assert!(!ended("", ""));
    assert!(ended("exitall", ""));
    assert!(!ended("exitall", "new_group"), "another reporting group goes on");
    assert!(ended("exitall\nexit_what=all", "new_group"));
    assert!(ended("exitall\nexit_what=stonewall", "new_group"));
    assert!(!ended("exitall_on_error", ""), "it did not fail");
    assert!(ended("exitall_on_error\nmax_latency=1", ""));
}

#[test]
fn logs_have_a_line_an_operation_or_a_stretch_of_time() {
    let job = "[j]\nrw=write\nsize=1m\nrate_iops=100\nwrite_lat_log=x\nwrite_bw_log=x\nwrite_iops_log=x\nlog_offset=1\n";
    let each = timed(job, never).logged.expect("there are logs");
    assert_eq!(each.lines.len(), 5);
    for (kind, lines) in &each.lines {
        assert_eq!(lines.len(), 256, "{kind:?}");
        assert_eq!((lines[7].offset, lines[7].bytes, lines[7].direction), (7 * 4096, 4096, Write));
    }
    let long =
        timed(&format!("{job}log_avg_msec=500\nwrite_hist_log=x\nlog_hist_msec=500\n"), never);
    let logged = long.logged.expect("there are logs");
    let of = |wanted| logged.lines.iter().find(|(kind, _)| *kind == wanted).map(|(_, l)| l.clone());
    let iops = of(LogKind::Iops).expect("a log of IOPS");
    assert!((5..=6).contains(&iops.len()), "{iops:?}");
    assert!(iops[..5].iter().all(|line| (95..=105).contains(&line.value)), "{iops:?}");
    assert_eq!(iops[1].time_ms - iops[0].time_ms, 500);
    let sum: u64 = logged.histograms.iter().flat_map(|h| h.3.iter()).map(|&n| u64::from(n)).sum();
    assert_eq!(sum, 256);
    let largest = timed(&format!("{job}log_avg_msec=500\nlog_max_value=1\n"), for_a_second);
    let largest = largest.logged.expect("there are logs");
    let lat = largest.lines.iter().find(|(kind, _)| *kind == LogKind::Latency);
    assert!(lat.expect("a log of latencies").1.iter().any(|line| line.value > 900 * MS));
}

#[test]
fn logs_are_written_under_fios_names() {
    let result = timed(
        "[j]\nrw=write\nsize=16k\nwrite_lat_log=x\nwrite_hist_log=y\nlog_hist_msec=10\nlog_hist_coarseness=6\n",
        never,
    );
    let directory = tempfile::tempdir().expect("a directory");
    let logged = result.logged.as_ref().expect("there are logs");
    logged.write(&result.job, directory.path()).expect("they can be written");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect(name);
    let lat = read("x_lat.1.log");
    assert_eq!(lat.lines().count(), 4);
    assert_eq!(lat.lines().next().expect("a line").split(", ").count(), 5, "{lat}");
    assert!(read("x_clat.1.log").lines().all(|line| line.ends_with(", 1, 4096, 0")));
    let classes = read("y_clat_hist.1.log");
    assert_eq!(classes.lines().next().expect("a line").split(", ").count(), 3 + 29);
    let mut shared = (*result.job).clone();
    shared.logs.not_per_job = true;
    logged.write(&shared, directory.path()).expect("they can be written");
    assert_eq!(read("x_lat.log"), lat);
    let nowhere = logged.write(&result.job, std::path::Path::new("/nonexistent")).err();
    assert!(nowhere.unwrap_or_default().starts_with("/nonexistent/x_slat.1.log: cannot write"));
}

#[test]
fn percentiles_and_the_time_between_samples_are_the_jobs() {
    let result = timed(
        "[j]\nrw=read\nsize=1m\nrate_iops=100\npercentile_list=50:99.25\nbwavgtime=100\n",
        never,
    );
    assert!(
        (24..=26).contains(&result.direction(Read).bw.samples),
        "{:?}",
        result.direction(Read).bw
    );
    let report = crate::report::Report::new(Default::default(), vec![result]);
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    let list = json["jobs"][0]["read"]["clat_ns"]["percentile"].as_object().expect("percentiles");
    assert_eq!(list.keys().collect::<Vec<_>>(), ["50.000000", "99.250000"]);
    assert!(report.text().contains("99.25th=["));
}

#[test]
fn percentiles_of_the_whole_latency_count_from_when_an_operation_was_made() {
    let job = "[j]\nrw=read\nsize=64k\niodepth=4\nlat_percentiles=1\n";
    let mut backend = Memory { refuse_every: 2, ..Memory::default() };
    let result = run(job, &mut backend);
    assert_eq!(result.direction(Read).slat.max(), 0);
    assert!(result.direction(Read).clat.moments.max() == result.direction(Read).lat.max());
    let report = crate::report::Report::new(Default::default(), vec![result]);
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    assert!(json["jobs"][0]["read"]["lat_ns"]["percentile"].is_object());
}

#[test]
fn a_file_that_is_there_needs_no_size_to_be_written() {
    let mut backend = Memory::default();
    backend.files.insert("ready".into(), vec![0; 64 << 10]);
    let result = run("[j]\nrw=randwrite\nfilename=ready\nverify=crc32c\n", &mut backend);
    assert_eq!((result.failure.as_ref(), result.direction(Write).ios), (None, 16));
    let absent = run("[j]\nrw=write\nfilename=absent\n", &mut backend);
    assert!(message(&absent).contains("open of 'absent' failed"), "{}", message(&absent));
    assert!(!backend.files.contains_key("absent"), "nothing is made");
}

#[test]
fn what_an_earlier_run_wrote_is_checked_without_writing() {
    let job = "[j]\nrw=randwrite\nsize=256k\nverify=md5\n";
    let mut backend = Memory::default();
    assert_eq!(run(job, &mut backend).failure, None);
    backend.log.clear();
    let only = format!("{job}verify_only=1\n");
    let result = run(&only, &mut backend);
    assert_eq!((result.failure.as_ref(), result.direction(Read).ios), (None, 64));
    assert!(!backend.log.iter().any(|did| matches!(did, Did::Write(..))));
    backend.files.get_mut("j.0.0").expect("it is there")[100] ^= 1;
    assert!(message(&run(&only, &mut backend)).contains("bad data checksum (md5)"));
}

#[test]
fn all_bad_blocks_are_counted_unless_the_first_is_fatal() {
    let job = "[j]\nrw=read\nsize=64k\nverify=crc32c\n";
    let mut backend = Memory::default();
    assert_eq!(run("[j]\nrw=write\nsize=64k\nverify=crc32c\n", &mut backend).failure, None);
    for block in [2, 5, 9] {
        backend.files.get_mut("j.0.0").expect("it is there")[block * 4096 + 100] ^= 1;
    }
    let all = run(job, &mut backend);
    assert_eq!(all.direction(Read).ios, 16);
    assert!(
        message(&all).contains("offset 8192") && message(&all).ends_with("(3 bad blocks in all)"),
        "{}",
        message(&all)
    );
    let first = run(&format!("{job}verify_fatal=1\n"), &mut backend);
    assert!(first.direction(Read).ios < 16 && message(&first).contains("offset 8192"));
}

/// A file that the test wants away when it ends.
struct Left(&'static str);

impl Left {
    fn read(&self) -> Vec<u8> {
        std::fs::read(self.0).unwrap_or_else(|error| panic!("{}: {error}", self.0))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

#[test]
fn a_bad_block_is_dumped_beside_the_user_and_so_is_what_should_be_there() {
    let (received, expected) = (Left("dumped.0.0.4096.received"), Left("dumped.0.0.4096.expected"));
    for more in [
        "verify=crc32c\n",
        "verify=md5\nverify_interval=1k\nverify_offset=64\n",
        "verify=sha1\nbuffer_pattern=0x0102\n",
        "verify=crc64\nverify_pattern=0xdeadbeef%o\n",
        "verify=pattern\nverify_pattern=\"who\"%o\n",
    ] {
        let mut backend = Memory::default();
        let job = format!("[dumped]\nsize=8k\n{more}");
        assert_eq!(run(&format!("{job}rw=write\n"), &mut backend).failure, None);
        let len = if more.contains("interval") { 1024 } else { 4096 };
        let sound = backend.files["dumped.0.0"][4096..4096 + len].to_vec();
        backend.files.get_mut("dumped.0.0").expect("it is there")[5000] ^= 1;
        let result = run(&format!("{job}rw=read\nverify_dump=1\n"), &mut backend);
        assert_eq!(received.read(), backend.files["dumped.0.0"][4096..4096 + len], "{more}");
        assert_eq!(expected.read(), sound, "{more}");
        let said = "what was read is in ./dumped.0.0.4096.received; \
                    what should be there is in ./dumped.0.0.4096.expected";
        assert!(message(&result).ends_with(said), "{}", message(&result));
    }
}

#[test]
fn what_should_be_in_a_block_whose_header_is_gone_is_known_to_its_writer_only() {
    let (_received, expected) = (Left("lost.0.0.0.received"), Left("lost.0.0.0.expected"));
    let job = "[lost]\nsize=4k\nverify=crc32c\nverify_dump=1\n";
    let mut backend = Memory::default();
    assert_eq!(run(&format!("{job}rw=write\n"), &mut backend).failure, None);
    let sound = std::mem::take(backend.files.get_mut("lost.0.0").expect("it is there"));
    // A server that loses what it was given, under the job that gave it.
    backend.files.insert("lost.0.0".into(), vec![0; 4096]);
    let result = run(&format!("{job}rw=read\n"), &mut backend);
    let said = message(&result);
    assert!(said.ends_with("what should be there is not known"), "{said}");
    let mut backend = Memory { loses_writes: true, ..Memory::default() };
    let result = run(&format!("{job}rw=write\n"), &mut backend);
    let said = message(&result);
    assert!(said.contains("bad magic"), "{said}");
    assert_eq!(expected.read(), sound);
}

#[test]
fn a_backlog_is_checked_as_the_job_goes_on_and_the_rest_at_its_end() {
    let mut backend = Memory::default();
    let result = run(
        "[j]\nrw=randwrite\nsize=512k\niodepth=4\nverify=crc32c\nverify_backlog=16\nverify_backlog_batch=8\n",
        &mut backend,
    );
    assert_eq!(result.failure, None);
    assert_eq!((result.direction(Write).ios, result.direction(Read).ios), (128, 128));
    let first_read = backend.log.iter().position(|did| matches!(did, Did::Read(..)));
    let writes_before =
        backend.log[..first_read.expect("reads")].iter().filter(|d| matches!(d, Did::Write(..)));
    assert!((12..=20).contains(&writes_before.count()));
}

#[test]
fn what_the_end_of_a_loop_had_checked_was_checked_again_in_the_next() {
    let mut backend = Memory::default();
    let job = "[j]\nrw=write\nsize=88k\nbs=4k\niodepth=4\nloops=2\nverify=md5\nverify_backlog=16\n";
    let result = run(job, &mut backend);
    assert_eq!(result.failure, None);
    assert_eq!((result.direction(Write).ios, result.direction(Read).ios), (44, 44));
}

#[test]
fn sizes_that_vary_are_verified_unit_by_unit() {
    for more in
        ["", "norandommap\nio_size=2m\n", "verify_interval=512\n", "verify_pattern=0x010203%o\n"]
    {
        for rw in ["write", "randwrite", "randrw"] {
            let mut backend = Memory::default();
            let result = run(
                &format!(
                    "[j]\nrw={rw}\nsize=512k\nbsrange=4k-32k\niodepth=8\nverify=crc32c\n{more}"
                ),
                &mut backend,
            );
            assert_eq!(result.failure, None, "{rw} {more}");
            assert!(result.direction(Read).bytes > 0);
        }
    }
}

#[test]
fn a_ramp_longer_than_a_pass_goes_round() {
    let result = timed("[j]\nrw=randwrite\nsize=64k\nramp_time=1\nrate_iops=100\n", never);
    assert_eq!(result.failure, None);
    // A hundred in the ramp: six rounds, and four operations of the one that is measured to its end.
    assert_eq!(result.direction(Write).ios, 12);
}

#[test]
fn create_only_lays_out_and_ends() {
    let mut backend = Memory::default();
    let result = run("[j]\nrw=read\nsize=64k\nnrfiles=2\ncreate_only=1\n", &mut backend);
    assert_eq!((result.failure.as_ref(), result.direction(Read).ios), (None, 0));
    assert_eq!(backend.files["j.0.1"].len(), 32 << 10);
    assert_eq!(runners("[j]\nsize=1m\n")[0].progress().snapshot().phase, Phase::Opening);
}

#[test]
fn completions_beyond_the_most_to_take_at_once_wait_for_the_next_turn() {
    let job = "[j]\nrw=randread\nsize=256k\niodepth=16\n";
    for (more, most) in [
        ("iodepth_batch_complete_max=3\n", 3),
        ("iodepth_batch_complete_min=4\niodepth_batch_complete_max=1\n", 4),
        ("", 16),
    ] {
        let mut backend = Memory { late_polls_max: 0, ..Memory::default() };
        let mut runner = runner(&format!("{job}{more}"));
        let progress = runner.progress();
        let (mut before, mut most_seen, mut turn) = (0, 0, 0);
        while runner.turn(turn * TURN_NS, &mut backend) != RunnerProgress::Finished {
            turn += 1;
            let done = progress.snapshot().ios;
            (before, most_seen) = (done, most_seen.max(done - before));
        }
        let result = runner.into_result();
        let done = result.direction(Read).ios;
        assert_eq!((most_seen, done, result.failure), (most, 64, None), "{more}");
    }
}
