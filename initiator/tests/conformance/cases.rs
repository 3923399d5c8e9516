//! What is held against fio: for each option a job, and how alike the two must be.

/// How alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alike {
    /// The same operations on the same places in the same order, and the same counts in the report.
    Same,
    /// As many operations and bytes of each direction.
    Counts,
    /// Numbers of operations, and how long it took, within a quarter.
    Close,
    /// The same for jobs that run at the same time.
    Together,
    /// The same keys and, within a quarter, numbers at these places of a job's report.
    Values(&'static [&'static str]),
    /// Each checks what the other wrote.
    Exchange,
    /// What comes after `--` is for a second run, which finds what the first has left.
    Again,
    /// The same files of logs, of the same shape, about the same operations.
    Logs,
    /// The same files with a block that was made bad, and what it should be.
    Dumps,
    /// Interrupted, both leave a state of the same name, and a second run with it succeeds.
    State,
    /// Both fail, with the same error.
    Fails,
}

impl Alike {
    /// For the document.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Alike::Same => "same operations as fio, in the same order",
            Alike::Counts | Alike::Again => "same counts and bytes as fio",
            Alike::Close | Alike::Together => "statistically the same as fio",
            Alike::Values(_) => "same values in the report as fio's",
            Alike::Exchange => "each checks what the other wrote",
            Alike::Logs => "same files and columns as fio's",
            Alike::Dumps => "same files as fio's",
            Alike::State => "same file name as fio's, and as much is verified from it",
            Alike::Fails => "fails where fio fails",
        }
    }

    /// Is it looked at on a file of this machine too? Not where it takes the program itself.
    pub(crate) fn on_file(self) -> bool {
        !matches!(self, Alike::Together | Alike::Again | Alike::Dumps | Alike::State)
    }
}

/// A comparison.
pub(crate) struct Case {
    /// The options that it is about.
    pub(crate) about: &'static [&'static str],
    pub(crate) alike: Alike,
    /// A job file; `[j]` and `size=` come first.
    pub(crate) job: &'static str,
}

const fn case(about: &'static [&'static str], alike: Alike, job: &'static str) -> Case {
    Case { about, alike, job }
}

use Alike::{Again, Close, Counts, Dumps, Exchange, Fails, Logs, Same, State, Together, Values};

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case(&["rw", "size"], Same, "rw=read\nsize=1m"),
    case(&["rw"], Same, "rw=write\nsize=1m"),
    case(&["rw"], Same, "rw=randread\nsize=1m"),
    case(&["rw"], Same, "rw=randwrite\nsize=1001k\nbs=2k"),
    case(&["rw"], Same, "rw=rw\nsize=1m"),
    case(&["rw"], Same, "rw=randrw\nsize=1m"),
    case(&["rw"], Same, "rw=read:8k\nsize=1m"),
    case(&["rw"], Same, "rw=write:-8k\nsize=1m\noffset=512k\nio_size=64k"),
    case(&["rw"], Same, "rw=randread:8\nsize=1m\nnorandommap"),
    case(&["rw", "rw_sequencer"], Same, "rw=randwrite:4\nrw_sequencer=identical\nsize=1m"),
    case(&["rw_sequencer"], Same, "rw=randread:4\nrw_sequencer=sequential\nsize=1m"),
    case(&["rwmixread"], Same, "rw=randrw\nrwmixread=70\nsize=2m"),
    case(&["rwmixwrite"], Same, "rw=rw\nrwmixwrite=20\nsize=2m"),
    case(&["bs"], Same, "rw=randrw\nbs=4k,8k\nsize=1m\nnorandommap"),
    case(&["bsrange"], Same, "rw=randwrite\nbsrange=1k-16k\nsize=1m"),
    case(&["bsrange"], Same, "rw=randread\nbsrange=4k-64k\nsize=1m\nnorandommap"),
    case(&["bsrange"], Same, "rw=rw\nbsrange=1k-4k,4k-16k\nsize=1m"),
    case(&["bssplit"], Same, "rw=randread\nbssplit=4k/10:64k/50:32k/40\nsize=4m"),
    case(&["bssplit"], Same, "rw=randrw\nbssplit=2k/50:4k/50,4k/90:8k/10\nsize=1m\nnorandommap"),
    case(&["bssplit"], Same, "rw=write\nbssplit=4k/30:8k/:16k/\nsize=1m"),
    case(&["bs_unaligned"], Same, "rw=write\nbsrange=1k-7k\nbs_unaligned\nsize=1m"),
    case(&["bs_is_seq_rand"], Same, "rw=randread\npercentage_random=50\nbs=4k,16k\nbs_is_seq_rand=1\nnorandommap\nsize=1m"),
    case(&["ba"], Same, "rw=randread\nbs=8k\nba=2k\nsize=1m"),
    case(&["ba"], Same, "rw=randwrite\nbs=4k\nblockalign=16k\nsize=4m"),
    case(&["io_size"], Same, "rw=randread\nsize=1m\nio_size=512k"),
    case(&["io_size"], Same, "rw=write\nsize=256k\nio_size=1m"),
    case(&["io_size"], Same, "rw=randread\nsize=256k\nio_size=700k"),
    case(&["io_size"], Same, "rw=read\nsize=1m\nio_size=25%"),
    case(&["offset"], Same, "rw=randread\nsize=1m\noffset=64k"),
    case(&["offset", "offset_align", "size"], Same, "rw=read\nfilename=ready\noffset=30%\noffset_align=64k\nsize=512k"),
    case(&["size"], Same, "rw=randread\nfilename=ready\nsize=40%"),
    case(&["offset_increment"], Same, "rw=read\nsize=256k\noffset=128k\noffset_increment=64k"),
    case(&["filesize"], Same, "rw=read\nnrfiles=3\nfilesize=64k\nsize=192k"),
    case(&["filesize"], Same, "rw=read\nnrfiles=4\nfilesize=16k-256k"),
    case(&["nrfiles"], Same, "rw=read\nnrfiles=3\nsize=1m"),
    case(&["nrfiles"], Same, "rw=randwrite\nnrfiles=3\nsize=1m"),
    case(&["openfiles"], Same, "rw=write\nnrfiles=5\nopenfiles=2\nsize=320k"),
    case(&["file_service_type"], Same, "rw=randread\nnrfiles=4\nfile_service_type=random\nsize=512k"),
    case(&["file_service_type"], Same, "rw=write\nnrfiles=4\nfile_service_type=sequential\nsize=512k"),
    case(&["file_service_type"], Same, "rw=read\nnrfiles=4\nfile_service_type=roundrobin:3\nsize=512k"),
    case(&["file_service_type"], Same, "rw=randread\nnrfiles=4\nfile_service_type=zipf:1.2\nsize=1m\nnorandommap\nio_size=256k"),
    case(&["file_service_type"], Same, "rw=randread\nnrfiles=4\nfile_service_type=pareto:0.3\nsize=1m\nnorandommap\nio_size=256k"),
    case(&["file_service_type"], Same, "rw=randread\nnrfiles=4\nfile_service_type=normal:10\nsize=1m\nnorandommap\nio_size=256k"),
    case(&["filename"], Same, "rw=write\nfilename=x:y\nsize=128k"),
    case(&["filename_format", "name"], Same, "name=other\nrw=write\nfilename_format=$jobname-$jobnum-$filenum\nnrfiles=2\nsize=128k"),
    case(&["directory"], Same, "rw=write\ndirectory=below\nsize=128k"),
    case(&["create_on_open"], Same, "rw=write\ncreate_on_open=1\nnrfiles=2\nsize=128k"),
    case(&["create_only"], Counts, "rw=read\ncreate_only=1\nsize=128k"),
    case(&["number_ios"], Same, "rw=randwrite\nsize=1m\nnumber_ios=37"),
    case(&["loops"], Same, "rw=randread\nsize=256k\nloops=3"),
    case(&["loops", "randseed"], Same, "rw=randwrite\nsize=256k\nloops=2\nrandseed=77"),
    case(&["fsync"], Same, "rw=randwrite\nfsync=5\nsize=256k"),
    case(&["fdatasync"], Same, "rw=write\nfdatasync=8\nsize=256k"),
    case(&["end_fsync", "fsync_on_close"], Same, "rw=write\nend_fsync=1\nfsync_on_close=1\nsize=256k"),
    case(&["sync"], Same, "rw=write\nsync=1\nsize=64k"),
    case(&["zero_buffers"], Same, "rw=write\nzero_buffers\nsize=64k"),
    case(&["buffer_pattern"], Same, "rw=write\nbuffer_pattern=0xdeadbeef\nsize=64k"),
    case(&["description"], Same, "rw=write\ndescription=what it is\nsize=64k"),

    case(&["randseed"], Same, "rw=randrw\nrandseed=1234567\nsize=1m"),
    case(&["randrepeat", "randseed"], Same, "rw=randwrite\nrandrepeat=0\nrandseed=5\nsize=1m"),
    case(&["allrandrepeat"], Same, "rw=randrw\nallrandrepeat=1\nbsrange=1k-8k\nsize=1m"),
    case(&["norandommap"], Same, "rw=randread\nnorandommap\nsize=1m"),
    case(&["random_generator"], Same, "rw=randread\nrandom_generator=tausworthe64\nsize=1m"),
    case(&["random_generator"], Same, "rw=randrw\nrandom_generator=tausworthe64\nbsrange=1k-8k\nrandseed=9\nsize=1m"),
    case(&["random_generator"], Same, "rw=randread\nrandom_generator=lfsr\nsize=1m"),
    case(&["random_generator"], Same, "rw=randwrite\nrandom_generator=lfsr\nbs=1k\nrandseed=3\nsize=1000k\nloops=2"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=random\nsize=1m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=zipf\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randwrite\nrandom_distribution=zipf:0.8:0.5\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=pareto:0.4\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=pareto:0.4\nrandseed=8\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=normal:5\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randwrite\nrandom_distribution=normal:20:0.2\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=zoned:60/10:30/20:8/30:2/40\nsize=4m"),
    case(&["random_distribution"], Same, "rw=randread\nrandom_distribution=zoned_abs:70/1m:30/3m\nsize=4m"),
    case(&["percentage_random"], Same, "rw=randread\npercentage_random=30\nsize=1m"),
    case(&["percentage_random"], Same, "rw=randrw\npercentage_random=0,100\nsize=1m\nnorandommap"),

    case(&["iodepth", "iodepth_batch", "iodepth_batch_complete_min", "iodepth_low"], Same, "rw=randread\niodepth=8\niodepth_batch=4\niodepth_batch_complete_min=2\niodepth_low=3\nsize=256k"),
    case(&["numjobs", "group_reporting"], Counts, "rw=randwrite\nnumjobs=3\ngroup_reporting\nsize=256k"),
    case(&["numjobs", "new_group", "stonewall"], Counts, "rw=write\nsize=64k\n[k]\nrw=read\nsize=128k\nnew_group\n[l]\nstonewall\nrw=write\nsize=64k\nnumjobs=2"),
    case(&["runtime", "time_based"], Close, "rw=randread\nsize=64k\ntime_based\nruntime=1\nrate_iops=200"),
    case(&["ramp_time"], Close, "rw=write\nsize=64k\ntime_based\nramp_time=500ms\nruntime=1\nrate_iops=200"),
    case(&["rate"], Close, "rw=randwrite\nsize=1m\nrate=1m"),
    case(&["rate_iops"], Close, "rw=read\nsize=400k\nrate_iops=100"),
    case(&["rate_iops", "rwmixread"], Close, "rw=randrw\nsize=1600k\nrate_iops=300,100"),
    case(&["rate_process"], Close, "rw=randread\nsize=4m\nrate_iops=1000\nrate_process=poisson"),
    case(&["rate_process"], Close, "rw=read\nsize=1m\nrate_iops=256\nrate_process=linear"),
    case(&["thinktime", "thinktime_spin", "thinktime_blocks", "thinktime_blocks_type"], Close, "rw=read\nsize=64k\nthinktime=100ms\nthinktime_spin=20ms\nthinktime_blocks=2\nthinktime_blocks_type=issue"),
    case(&["startdelay"], Close, "rw=read\nsize=64k\nstartdelay=1\nrate_iops=32"),
    case(&["rate_iops_min", "rate_cycle"], Fails, "rw=read\nsize=16m\nrate_iops_min=100000\nrate_cycle=500\nthinktime=10ms\nruntime=4"),
    case(&["rate_ignore_thinktime"], Close, "rw=read\nsize=256k\nrate_iops=100\nthinktime=300ms\nthinktime_blocks=16\nrate_ignore_thinktime=1"),
    case(&["thinktime_iotime"], Close, "rw=read\nsize=1m\nrate_iops=200\nthinktime=300ms\nthinktime_iotime=400ms\nrate_ignore_thinktime=1"),
    case(&["wait_for"], Together, "rw=write\nsize=64k\nrate_iops=32\n[k]\nwait_for=j\nrw=read\nfilename=j.0.0\nsize=64k\nrate_iops=32"),
    case(&["exitall", "exit_what"], Together, "rw=read\nsize=64k\nrate_iops=16\nexitall\nexit_what=all\n[k]\nrw=read\nsize=64k\ntime_based\nruntime=20\nrate_iops=50"),
    case(&["exitall_on_error", "max_latency"], Together, "rw=read\nsize=64k\nstartdelay=1\nmax_latency=1\nexitall_on_error\nexit_what=all\n[k]\nrw=read\nsize=64k\ntime_based\nruntime=20\nrate_iops=50"),
    case(&["max_latency"], Fails, "rw=read\nsize=1m\nbs=1m\nmax_latency=1"),
    case(&["latency_target", "latency_window", "latency_percentile"], Values(&["/latency_depth", "/latency_target", "/latency_window"]), "rw=randread\nsize=1m\niodepth=4\nlatency_target=5s\nlatency_window=100ms\nlatency_percentile=90\ntime_based\nruntime=10"),
    case(&["latency_run"], Values(&["/latency_depth", "/read/runtime"]), "rw=randread\nsize=1m\niodepth=4\nlatency_target=5s\nlatency_window=100ms\nlatency_percentile=90\nlatency_run=1\ntime_based\nruntime=2"),
    case(&["lat_percentiles"], Values(&["/read/lat_ns/percentile"]), "rw=read\nsize=64k\nlat_percentiles=1"),
    case(&["percentile_list"], Values(&["/read/clat_ns/percentile"]), "rw=read\nsize=64k\npercentile_list=50:75:99.25"),
    case(&["bwavgtime"], Values(&["/read/bw_samples"]), "rw=read\nsize=64k\ntime_based\nruntime=2\nrate_iops=200\nbwavgtime=100"),
    case(&["steadystate", "steadystate_duration", "steadystate_ramp_time"], Values(&["/steadystate/ss", "/steadystate/duration", "/steadystate/attained", "/read/runtime"]), "rw=read\nsize=64k\ntime_based\nruntime=20\nrate_iops=200\nsteadystate=iops:50%\nsteadystate_duration=2\nsteadystate_ramp_time=1"),
    case(&["iodepth_batch_complete_max"], Same, "rw=randread\niodepth=8\niodepth_batch_complete_min=1\niodepth_batch_complete_max=4\nsize=256k"),
    case(&["rate_min"], Fails, "rw=read\nsize=16m\nrate_min=100m\nrate_cycle=500\nthinktime=10ms\nruntime=4"),

    case(&["write_bw_log", "write_lat_log", "write_iops_log", "log_offset"], Logs, "rw=randrw\nsize=256k\nlog_offset=1\nwrite_lat_log=l\nwrite_bw_log=l\nwrite_iops_log=l"),
    case(&["log_avg_msec"], Logs, "rw=read\nsize=400k\nrate_iops=100\nlog_avg_msec=200\nwrite_lat_log=l\nwrite_bw_log=l\nwrite_iops_log=l"),
    case(&["write_hist_log", "log_hist_msec"], Logs, "rw=read\nsize=400k\nrate_iops=100\nlog_hist_msec=200\nwrite_hist_log=l"),

    case(&["log_max_value"], Logs, "rw=read\nsize=400k\nrate_iops=100\nlog_avg_msec=200\nlog_max_value=1\nwrite_lat_log=l"),
    case(&["per_job_logs"], Logs, "rw=read\nsize=64k\nper_job_logs=0\nwrite_bw_log=l"),
    case(&["log_hist_coarseness"], Logs, "rw=read\nsize=400k\nrate_iops=100\nlog_hist_msec=200\nlog_hist_coarseness=3\nwrite_hist_log=l"),

    case(&["verify_only"], Again, "rw=randwrite\nverify=crc32c\nsize=256k\n--\nverify_only=1"),
    case(&["verify_dump"], Dumps, "verify=crc32c\nsize=64k"),
    case(&["verify_dump"], Dumps, "verify=md5\nverify_interval=1k\nsize=64k"),
    case(&["verify_dump"], Dumps, "verify=pattern\nverify_pattern=0xa1b2c3d4\nsize=64k"),
    case(&["verify_state_save", "verify_state_load"], State, "rw=randwrite\nverify=crc32c\nsize=4m\nrate_iops=200\nfallocate=native\nverify_state_save=1\n--\nverify_only=1\nverify_state_load=1"),
    case(&["verify", "do_verify"], Same, "rw=write\nverify=crc32c\nsize=256k"),
    case(&["verify"], Same, "rw=randwrite\nverify=md5\nsize=256k"),
    case(&["verify"], Same, "rw=randrw\nverify=crc32c\nsize=512k"),
    case(&["do_verify"], Same, "rw=randwrite\nverify=crc32c\ndo_verify=0\nsize=256k"),
    case(&["verify", "bsrange"], Counts, "rw=write\nverify=crc32c\nbsrange=4k-16k\nsize=512k"),
    case(&["verify_backlog", "verify_backlog_batch"], Counts, "rw=randwrite\nverify=crc32c\nverify_backlog=16\nverify_backlog_batch=8\nsize=512k"),
    case(&["verify_fatal"], Same, "rw=write\nverify=crc32c\nverify_fatal=1\nsize=64k"),
    case(&["verify"], Exchange, "verify=crc32c\nsize=64k"),
    case(&["verify"], Exchange, "verify=crc32\nsize=64k"),
    case(&["verify"], Exchange, "verify=crc64\nsize=64k"),
    case(&["verify"], Exchange, "verify=crc16\nsize=64k"),
    case(&["verify"], Exchange, "verify=crc7\nsize=64k"),
    case(&["verify"], Exchange, "verify=md5\nsize=64k"),
    case(&["verify"], Exchange, "verify=sha1\nsize=64k"),
    case(&["verify"], Exchange, "verify=sha3-256\nsize=64k"),
    case(&["verify"], Exchange, "verify=sha3-512\nsize=64k"),
    case(&["verify"], Exchange, "verify=xxhash\nsize=64k"),
    case(&["verify"], Exchange, "verify=meta\nsize=64k"),
    case(&["verify", "verify_pattern"], Exchange, "verify=pattern\nverify_pattern=0x01020304%o\"x\"\nsize=64k"),
    case(&["verify_pattern"], Exchange, "verify_pattern=0xabcdef\nsize=64k"),
    case(&["verify_interval"], Exchange, "verify=crc32c\nverify_interval=1k\nbs=8k\nsize=64k"),
    case(&["verify_offset"], Exchange, "verify=md5\nverify_offset=128\nsize=64k"),
];
