//! Options of fio's that this client refuses, and what to do instead.

use super::{OptionDoc, refused};

const NO_TRIM: &str = "NFSv3 has no trim";
const NO_ZONES: &str =
    "a file on NFS has no zones; for a skewed load use random_distribution=zoned";
const NO_REPLAY: &str = "traces are not replayed; run fio with tools/fio-engine";
const NO_DEDUPE: &str = "data is random, zeros (zero_buffers) or a pattern (buffer_pattern)";
const PLACED: &str = "cores and memory are the reactors': use --cores and --hugepages";
const PRIORITY: &str = "the reactors' scheduling is set by --idle";
const NO_CGROUP: &str = "start initiator in the cgroup";
const NO_ERRORS: &str = "the first error ends a job, so that its numbers mean what they say";
const NO_FLOW: &str = "jobs are not weighed against each other; use rate_iops";
const LOG_CLOCK: &str = "logs count from the start of the job";

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDoc] = &[
    refused("trim_percentage", "", NO_TRIM),
    refused("trim_verify_zero", "", NO_TRIM),
    refused("trim_backlog", "", NO_TRIM),
    refused("trim_backlog_batch", "", NO_TRIM),
    refused("zonemode", "", NO_ZONES),
    refused("zonesize", "", NO_ZONES),
    refused("zonerange", "", NO_ZONES),
    refused("zonecapacity", "", NO_ZONES),
    refused("zoneskip", "", NO_ZONES),
    refused("read_beyond_wp", "", NO_ZONES),
    refused("max_open_zones", "", NO_ZONES),
    refused("job_max_open_zones", "", NO_ZONES),
    refused("ignore_zone_limits", "", NO_ZONES),
    refused("zone_reset_threshold", "", NO_ZONES),
    refused("zone_reset_frequency", "", NO_ZONES),
    refused("read_iolog", "", NO_REPLAY),
    refused("read_iolog_chunked", "", NO_REPLAY),
    refused("write_iolog", "", "use write_lat_log with log_offset=1: a line for each operation, with its offset and size"),
    refused("replay_no_stall", "", NO_REPLAY),
    refused("replay_redirect", "", NO_REPLAY),
    refused("replay_scale", "", NO_REPLAY),
    refused("replay_align", "", NO_REPLAY),
    refused("replay_time_scale", "", NO_REPLAY),
    refused("replay_skip", "", NO_REPLAY),
    refused("merge_blktrace_file", "", NO_REPLAY),
    refused("merge_blktrace_scalars", "", NO_REPLAY),
    refused("merge_blktrace_iters", "", NO_REPLAY),
    refused("buffer_compress_percentage", "", NO_DEDUPE),
    refused("buffer_compress_chunk", "", NO_DEDUPE),
    refused("dedupe_percentage", "", NO_DEDUPE),
    refused("dedupe_global", "", NO_DEDUPE),
    refused("dedupe_mode", "", NO_DEDUPE),
    refused("dedupe_working_set_percentage", "", NO_DEDUPE),
    refused("cpumask", "", PLACED),
    refused("cpus_allowed", "", PLACED),
    refused("cpus_allowed_policy", "", PLACED),
    refused("numa_cpu_nodes", "", PLACED),
    refused("numa_mem_policy", "", PLACED),
    refused("gpu_dev_id", "", PLACED),
    refused("nice", "", PRIORITY),
    refused("prio", "", PRIORITY),
    refused("prioclass", "", PRIORITY),
    refused("cgroup", "", NO_CGROUP),
    refused("cgroup_weight", "", NO_CGROUP),
    refused("cgroup_nodelete", "", NO_CGROUP),
    refused("ioscheduler", "", "there is no local disk"),
    refused("uid", "", "the credential of a mount is initiator's: run it as that user"),
    refused("gid", "", "the credential of a mount is initiator's: run it with that group"),
    refused("continue_on_error", "", NO_ERRORS),
    refused("ignore_error", "", NO_ERRORS),
    refused("error_dump", "", NO_ERRORS),
    refused("block_error_percentiles", "", NO_TRIM),
    refused("flow", "", NO_FLOW),
    refused("flow_id", "", NO_FLOW),
    refused("flow_sleep", "", NO_FLOW),
    refused("flow_watermark", "", NO_FLOW),
    refused("file_append", "", "begin at the end of the file with offset="),
    refused("fill_device", "fill_fs", "a server is not filled by accident: give size="),
    refused("opendir", "", "name the files with filename="),
    refused("sync_file_range", "", "NFS has one COMMIT: use fsync=N"),
    refused("write_barrier", "", "use fsync=N or sync=1"),
    refused("write_hint", "", "NFSv3 carries no hints"),
    refused("profile", "", "write what the profile stands for as a job"),
    refused("rwmixcycle", "", "fio has removed it"),
    refused("percentage_sequential", "", "use percentage_random=100-N"),
    refused("log_unix_epoch", "", LOG_CLOCK),
    refused("log_alternate_epoch", "", LOG_CLOCK),
    refused("log_alternate_epoch_clock_id", "", LOG_CLOCK),
    refused("log_store_compressed", "", "logs are text"),
];
