//! What a job does to which files: names, directions, sizes.

use super::values::{by_direction, bytes, number, path, range, text};
use super::{OptionDoc, works};
use crate::job::{BlockSizes, FileService, Job, Rw, Skew};
use crate::jobfile::size::{flag, size};
use crate::verify::Pattern;

/// Most files of an instance.
const NRFILES_MAX: u64 = 65_536;
/// Largest block: far above any payload a mount carries, which is checked when it is known.
const BS_MAX: u64 = 1 << 30;
/// Most sizes in a bssplit, as in fio.
const SPLIT_MAX: usize = 64;

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDoc] = &[
    works("name", "", "TEXT", "what the report calls the job; the section's name otherwise",
        |j, v| text(v).map(|t| j.name = t)),
    works("description", "", "TEXT", "a line of the report",
        |j, v| text(v).map(|t| j.description = Some(t))),
    works("nfs_url", "", "nfs://HOST[:PORT]/EXPORT/PATH", "the mount the job works on",
        |j, v| text(v).map(|t| j.nfs_url = Some(t))),
    works("directory", "", "PATH", "put before every file name; below nfs_url",
        |j, v| path(v).map(|t| j.directory = Some(t))),
    works("filename", "", "PATH[:PATH...]", "the file or files, below nfs_url, shared by all instances; JOB.INSTANCE.FILE otherwise",
        filename),
    works("filename_format", "", "TEXT", "file names from $jobname, $jobnum and $filenum",
        filename_format),
    works("rw", "readwrite", "read|write|randread|randwrite|rw|randrw[:N]", "what to do and in which order; :N leaves a gap of N bytes (negative: backwards), or draws an offset every N operations",
        rw),
    works("rw_sequencer", "", "sequential|identical", "what rw=randread:N does between draws",
        |j, v| match v.unwrap_or("") {
            "sequential" => { j.sequence.identical = false; Ok(()) }
            "identical" => { j.sequence.identical = true; Ok(()) }
            other => Err(format!("'{other}' is not sequential or identical")),
        }),
    works("rwmixread", "", "PERCENT", "reads in a mixed job; 50 unless told",
        |j, v| number(v, 0, 100).map(|n| j.rwmixread = n as u8)),
    works("rwmixwrite", "", "PERCENT", "writes in a mixed job: 100 - rwmixread",
        |j, v| number(v, 0, 100).map(|n| j.rwmixread = 100 - n as u8)),
    works("bs", "blocksize", "SIZE[,SIZE]", "block size, or that of reads and that of writes; 4k unless told",
        |j, v| by_direction(v, block).map(|said| each(j, said, |bs, n| { bs.min = n; bs.max = n; bs.split.clear(); }))),
    works("bsrange", "blocksize_range", "LOW-HIGH[,LOW-HIGH]", "blocks of any size in a range, in multiples of the smallest",
        |j, v| by_direction(v, block_range).map(|said| each(j, said, |bs, (min, max)| { bs.min = min; bs.max = max; bs.split.clear(); }))),
    works("bssplit", "", "SIZE/PERCENT[:SIZE/PERCENT...][,...]", "blocks of several sizes, each so often",
        |j, v| by_direction(v, split).map(|said| each(j, said, |bs, split| {
            bs.min = split.iter().map(|s| s.0).min().unwrap_or(bs.min);
            bs.max = split.iter().map(|s| s.0).max().unwrap_or(bs.max);
            bs.split = split;
        }))),
    works("bs_unaligned", "blocksize_unaligned", "", "sizes in a bsrange need not be multiples of the smallest",
        |j, v| flag(v).map(|b| j.bs_unaligned = b)),
    works("bs_is_seq_rand", "", "", "the two sizes of bs= are for sequential and for random operations",
        |j, v| flag(v).map(|b| j.bs_is_seq_rand = b)),
    works("ba", "blockalign", "SIZE[,SIZE]", "random offsets are multiples of this, not of the block size; turns the random map off",
        |j, v| by_direction(v, block).map(|said| each(j, said, |bs, n| bs.align = Some(n)))),
    works("size", "", "SIZE|PERCENT%", "bytes an instance works on, all its files together; or a part of what its files have",
        |j, v| match percent(v)? {
            Some(percent) => { j.size_percent = Some(percent); j.size = None; Ok(()) }
            None => bytes(v, 1).map(|n| { j.size = Some(n); j.size_percent = None; }),
        }),
    works("io_size", "io_limit", "SIZE|PERCENT%", "bytes to move, when that is not size",
        |j, v| match percent(v)? {
            Some(percent) => { j.io_size_percent = Some(percent); j.io_size = None; Ok(()) }
            None => bytes(v, 1).map(|n| { j.io_size = Some(n); j.io_size_percent = None; }),
        }),
    works("offset", "fileoffset", "SIZE|PERCENT%", "where in each file to begin",
        |j, v| match percent(v)? {
            Some(percent) => { j.offset_percent = Some(percent); j.offset = 0; Ok(()) }
            None => bytes(v, 0).map(|n| { j.offset = n; j.offset_percent = None; }),
        }),
    works("offset_align", "", "SIZE", "what an offset in percent is rounded up to; the block size unless told",
        |j, v| bytes(v, 1).map(|n| j.offset_align = Some(n))),
    works("offset_increment", "", "SIZE", "each further instance begins so much later",
        |j, v| bytes(v, 0).map(|n| j.offset_increment = n)),
    works("filesize", "", "SIZE[-SIZE]", "bytes of each file, or a range to draw them from",
        |j, v| range(v.unwrap_or(""), |t| bytes(Some(t), 1)).map(|r| j.filesize = Some(r))),
    works("nrfiles", "nr_files", "N", "files an instance divides size over",
        |j, v| number(v, 1, NRFILES_MAX).map(|n| j.nrfiles = n as u32)),
    works("openfiles", "", "N", "work on so many of the files at a time",
        |j, v| number(v, 1, NRFILES_MAX).map(|n| j.openfiles = Some(n as u32))),
    works("file_service_type", "", "roundrobin|sequential|random[:N], zipf|pareto|normal[:X]", "which file is next; after N operations",
        file_service),
    works("create_on_open", "", "", "files are not laid out before the job; its writes make them",
        |j, v| flag(v).map(|b| j.create_on_open = b)),
    works("create_only", "", "", "lay the files out and end",
        |j, v| flag(v).map(|b| j.create_only = b)),
    works("fsync", "", "N", "COMMIT after every N writes; 0 is never",
        |j, v| number(v, 0, u64::from(u32::MAX)).map(|n| j.fsync = n as u32)),
    works("fdatasync", "", "N", "as fsync: NFS has one COMMIT",
        |j, v| number(v, 0, u64::from(u32::MAX)).map(|n| j.fsync = n as u32)),
    works("end_fsync", "", "", "COMMIT every file when the writing is done",
        |j, v| flag(v).map(|b| j.end_fsync = b)),
    works("fsync_on_close", "", "", "as end_fsync: files are closed when the writing is done",
        |j, v| flag(v).map(|b| j.end_fsync |= b)),
    works("sync", "", "0|1|none|sync|dsync", "stable (FILE_SYNC) writes",
        sync),
    works("zero_buffers", "", "", "write zeros, not random data",
        |j, v| flag(v).map(|b| j.zero_buffers = b)),
    works("buffer_pattern", "", "0xHEX|\"TEXT\"|N", "write this over and over, not random data",
        |j, v| Pattern::parse(v.unwrap_or("")).map(|p| j.buffer_pattern = Some(p))),
];

fn each<T>(job: &mut Job, said: super::values::Said<T>, set: impl Fn(&mut BlockSizes, T)) {
    for (sizes, value) in job.bs.iter_mut().zip(said) {
        if let Some(value) = value {
            set(sizes, value);
        }
    }
}

fn filename(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let names: Vec<String> =
        value.unwrap_or("").split(':').map(|name| path(Some(name))).collect::<Result<_, _>>()?;
    job.filenames = names;
    Ok(())
}

fn filename_format(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    // fio's $clientuid is empty without --client.
    let format = path(value)?.replace("$clientuid", "");
    let rest = format.replace("$jobname", "").replace("$jobnum", "").replace("$filenum", "");
    if rest.contains('$') {
        return Err(format!("'{format}': only $jobname, $jobnum and $filenum are known"));
    }
    job.filename_format = format;
    Ok(())
}

fn rw(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let (kind, postfix) = match value.split_once(':') {
        Some((kind, postfix)) => (kind, Some(postfix)),
        None => (value, None),
    };
    job.rw = match kind {
        "read" => Rw::Read,
        "write" => Rw::Write,
        "randread" => Rw::RandRead,
        "randwrite" => Rw::RandWrite,
        "rw" | "readwrite" => Rw::ReadWrite,
        "randrw" => Rw::RandRw,
        _ if kind.contains("trim") => {
            return Err(format!(
                "'{value}': NFSv3 has no trim; use read, write, randread, randwrite, rw or randrw"
            ));
        }
        _ => {
            return Err(format!("'{value}' is not read, write, randread, randwrite, rw or randrw"));
        }
    };
    (job.sequence.every, job.sequence.add) = match (postfix, job.rw.random()) {
        (None, _) => (1, 0),
        (Some(every), true) => (number(Some(every), 1, u64::from(u32::MAX))? as u32, 0),
        (Some(gap), false) => (1, signed(gap)?),
    };
    Ok(())
}

fn signed(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(back) => Ok(-(size(back)? as i64)),
        None => Ok(size(text)? as i64),
    }
}

fn block(text: &str) -> Result<u32, String> {
    match size(text)? {
        0 => Err("a block of 0 bytes moves nothing; use for example 4k".to_owned()),
        n if n > BS_MAX => Err(format!("'{text}' is more than {BS_MAX} bytes")),
        n => Ok(n as u32),
    }
}

fn block_range(text: &str) -> Result<(u32, u32), String> {
    let text = text.replace(':', "-");
    let (low, high) = range(&text, |t| block(t).map(u64::from))?;
    Ok((low as u32, high as u32))
}

/// `SIZE/PERCENT:SIZE/PERCENT`; sizes without a share divide what is left.
fn split(text: &str) -> Result<Vec<(u32, u8)>, String> {
    let mut parts = Vec::new();
    for part in text.split(':').map(str::trim).filter(|part| !part.is_empty()) {
        let (bytes, share) = part.split_once('/').unwrap_or((part, ""));
        let share = match share.trim() {
            "" => None,
            share => Some(number(Some(share), 0, 100)? as u8),
        };
        parts.push((block(bytes.trim())?, share));
    }
    if parts.is_empty() || parts.len() > SPLIT_MAX {
        return Err(format!("'{text}' has {} sizes; give 1 to {SPLIT_MAX}", parts.len()));
    }
    let given: u32 = parts.iter().filter_map(|(_, share)| share.map(u32::from)).sum();
    let open = parts.iter().filter(|(_, share)| share.is_none()).count() as u32;
    if given > 100 || (open == 0 && given < 100) {
        return Err(format!("'{text}': the shares add up to {given}, not to 100"));
    }
    let rest = (100 - given).checked_div(open).unwrap_or(0) as u8;
    let mut shares: Vec<(u32, u8)> =
        parts.into_iter().map(|(bytes, share)| (bytes, share.unwrap_or(rest))).collect();
    // fio looks at the rarest first.
    shares.sort_by_key(|&(_, share)| share);
    Ok(shares)
}

/// `50%`, if it is one.
fn percent(value: Option<&str>) -> Result<Option<u8>, String> {
    match value.unwrap_or("").strip_suffix('%') {
        Some(percent) => number(Some(percent), 1, 100).map(|n| Some(n as u8)),
        None => Ok(None),
    }
}

fn sync(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    job.stable = match value.unwrap_or("") {
        "0" | "none" => false,
        "1" | "sync" | "dsync" => true,
        other => return Err(format!("'{other}' is not 0, 1, none, sync or dsync")),
    };
    Ok(())
}

fn file_service(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let (kind, postfix) = value.split_once(':').unwrap_or((value, ""));
    job.file_service = match kind {
        "roundrobin" => FileService::RoundRobin,
        "sequential" => FileService::Sequential,
        "random" => FileService::Random,
        _ => match super::randomness::skew(value)? {
            Some((skew @ (Skew::Zipf(_) | Skew::Pareto(_) | Skew::Normal(_)), center)) => {
                FileService::Skewed(skew, center)
            }
            None => {
                return Err(format!(
                    "'{value}' is not roundrobin, sequential, random, zipf, pareto or normal"
                ));
            }
        },
    };
    job.file_service_run = match (job.file_service, postfix) {
        (FileService::Skewed(..), _) | (_, "") => 1,
        (_, run) => number(Some(run), 1, u64::from(u32::MAX))? as u32,
    };
    Ok(())
}
