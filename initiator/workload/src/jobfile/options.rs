//! The options of a job: one table that parses them, documents them and answers "did you mean".
//!
//! An option of fio's that is not in the table is refused by name. The ones marked
//! [`Effect::NoOp`] are accepted because a job written for the kernel client means nothing else by
//! them here; each says why.

use super::size::{count, flag, size, time_ns};
use crate::error::{JobError, Place};
use crate::job::{Job, Rw, Verify};
use crate::verify::Pattern;

/// Most operations a job may keep in flight.
const IODEPTH_MAX: u64 = 65_536;
/// Most instances of a job.
const NUMJOBS_MAX: u64 = 1024;
/// Most files of an instance.
const NRFILES_MAX: u64 = 65_536;
/// Longest path or text value.
const TEXT_BYTES_MAX: usize = 1024;
/// Largest block: far above any payload a mount carries, which is checked when it is known.
const BS_MAX: u64 = 1 << 30;

/// What an accepted option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it does in fio.
    Works,
    /// It is read, checked and has no effect; the help says why.
    NoOp,
}

/// An option, for documentation.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    /// Its name.
    pub name: &'static str,
    /// Its other name, or "".
    pub alias: &'static str,
    /// What a value looks like; empty when it is a flag.
    pub value: &'static str,
    /// Whether it does anything.
    pub effect: Effect,
    /// What it means.
    pub help: &'static str,
    set: fn(&mut Job, Option<&str>) -> Result<(), String>,
}

/// Every option a job may have, in the order the documentation shows them.
pub fn options() -> &'static [OptionDoc] {
    OPTIONS
}

/// Gives `job` an option.
pub(crate) fn apply(
    job: &mut Job,
    key: &str,
    value: Option<&str>,
    place: Place,
) -> Result<(), JobError> {
    let Some(option) =
        OPTIONS.iter().find(|o| o.name == key || (o.alias == key && !key.is_empty()))
    else {
        return Err(JobError::new(place, unknown(key)));
    };
    if !option.value.is_empty() && value.is_none_or(str::is_empty) {
        let message = format!("'{key}' needs a value: {key}={}", option.value);
        return Err(JobError::new(place, message));
    }
    (option.set)(job, value).map_err(|m| JobError::new(place.clone(), format!("{key}: {m}")))?;
    job.places.insert(option.name, place);
    Ok(())
}

fn unknown(key: &str) -> String {
    let mut shown: String = key.chars().take(64).collect();
    if shown.len() < key.len() {
        shown.push_str("...");
    }
    let names = OPTIONS.iter().flat_map(|o| [o.name, o.alias]);
    let nearest = names
        .filter(|name| !name.is_empty())
        .map(|name| (distance(key, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match nearest {
        Some((_, name)) => format!("option '{shown}' is not supported; did you mean '{name}'?"),
        None => format!("option '{shown}' is not supported"),
    }
}

/// Levenshtein distance; far apart when the lengths are.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const fn works(
    name: &'static str,
    alias: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Job, Option<&str>) -> Result<(), String>,
) -> OptionDoc {
    OptionDoc { name, alias, value, effect: Effect::Works, help, set }
}

const fn no_op(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Job, Option<&str>) -> Result<(), String>,
) -> OptionDoc {
    OptionDoc { name, alias: "", value, effect: Effect::NoOp, help, set }
}

#[rustfmt::skip]
static OPTIONS: &[OptionDoc] = &[
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
    works("rw", "readwrite", "read|write|randread|randwrite|rw|randrw", "what to do and in which order",
        rw),
    works("rwmixread", "", "PERCENT", "reads in a mixed job; 50 unless told",
        |j, v| number(v, 0, 100).map(|n| j.rwmixread = n as u8)),
    works("rwmixwrite", "", "PERCENT", "writes in a mixed job: 100 - rwmixread",
        |j, v| number(v, 0, 100).map(|n| j.rwmixread = 100 - n as u8)),
    works("bs", "blocksize", "SIZE[,SIZE]", "block size, or that of reads and that of writes; 4k unless told",
        bs),
    works("size", "", "SIZE", "bytes an instance works on, all its files together",
        |j, v| bytes(v, 1).map(|n| j.size = Some(n))),
    works("io_size", "io_limit", "SIZE", "bytes to move, when that is not size",
        |j, v| bytes(v, 1).map(|n| j.io_size = Some(n))),
    works("offset", "", "SIZE", "where in each file to begin",
        |j, v| bytes(v, 0).map(|n| j.offset = n)),
    works("nrfiles", "", "N", "files an instance divides size over",
        |j, v| number(v, 1, NRFILES_MAX).map(|n| j.nrfiles = n as u32)),
    works("iodepth", "", "N", "operations in flight; 1 unless told",
        |j, v| number(v, 1, IODEPTH_MAX).map(|n| j.iodepth = n as u32)),
    works("numjobs", "", "N", "instances of the job",
        |j, v| number(v, 1, NUMJOBS_MAX).map(|n| j.numjobs = n as u32)),
    works("loops", "", "N", "how often to do it all",
        |j, v| number(v, 1, u64::from(u32::MAX)).map(|n| j.loops = n as u32)),
    works("runtime", "", "TIME", "stop after this long",
        |j, v| time(v).map(|t| j.runtime_ns = (t > 0).then_some(t))),
    works("time_based", "", "", "go on until runtime is over, again from the start when size is done",
        |j, v| flag(v).map(|b| j.time_based = b)),
    works("ramp_time", "", "TIME", "run this long before measuring",
        |j, v| time(v).map(|t| j.ramp_ns = t)),
    works("stonewall", "wait_for_previous", "", "wait for the jobs above to finish; a new reporting group",
        |j, v| flag(v).map(|b| j.stonewall = b)),
    works("new_group", "", "", "a new reporting group",
        |j, v| flag(v).map(|b| j.new_group = b)),
    works("group_reporting", "", "", "one report for all instances of a group",
        |j, v| flag(v).map(|b| j.group_reporting = b)),
    works("randseed", "", "N", "seed of the random numbers; fixed unless told, so that runs repeat",
        |j, v| number(v, 0, i64::MAX as u64).map(|n| j.randseed = n)),
    works("norandommap", "", "", "random offsets may repeat before each block was visited once",
        |j, v| flag(v).map(|b| j.norandommap = b)),
    works("fsync", "", "N", "COMMIT after every N writes; 0 is never",
        |j, v| number(v, 0, u64::from(u32::MAX)).map(|n| j.fsync = n as u32)),
    works("end_fsync", "", "", "COMMIT every file when the writing is done",
        |j, v| flag(v).map(|b| j.end_fsync = b)),
    works("sync", "", "0|1|none|sync|dsync", "stable (FILE_SYNC) writes",
        sync),
    works("verify", "", "crc32c|pattern|0", "write blocks that can be checked, and check them",
        verify),
    works("verify_pattern", "", "0xHEX|\"TEXT\"|N|%o...", "what verify=pattern repeats; %o is the block's offset",
        |j, v| Pattern::parse(v.unwrap_or("")).map(|p| j.verify_pattern = Some(p))),
    works("do_verify", "", "", "read back and check after writing; on unless told",
        |j, v| flag(v).map(|b| j.do_verify = b)),
    no_op("ioengine", "nfs|initiator", "there is one engine, this client",
        ioengine),
    no_op("direct", "", "there is no page cache to go round",
        |_, v| flag(v).map(drop)),
    no_op("buffered", "", "there is no page cache to go through",
        |_, v| flag(v).map(drop)),
    no_op("invalidate", "", "there is no page cache to empty",
        |_, v| flag(v).map(drop)),
    no_op("thread", "", "instances are always threads: one a reactor",
        |_, v| flag(v).map(drop)),
    no_op("fallocate", "none|native|keep|0", "NFSv3 cannot preallocate; files are laid out by writing",
        |_, v| one_of(v, &["none", "native", "keep", "posix", "0", "1"])),
    no_op("randrepeat", "", "runs always repeat; for other numbers use randseed=",
        randrepeat),
    no_op("verify_fatal", "", "a mismatch always ends the job",
        |_, v| flag(v).map(drop)),
];

fn text(value: Option<&str>) -> Result<String, String> {
    let value = value.unwrap_or("");
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(value.to_owned())
}

/// A path below the mount, which it must not leave.
fn path(value: Option<&str>) -> Result<String, String> {
    let path = text(value)?;
    if path.split('/').any(|part| part == "..") {
        return Err(format!("'{path}': '..' would leave the mount"));
    }
    let relative = path.trim_start_matches('/');
    if relative.is_empty() {
        return Err(format!("'{path}' names no file or directory"));
    }
    Ok(relative.to_owned())
}

fn filename(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let names: Vec<String> =
        value.unwrap_or("").split(':').map(|name| path(Some(name))).collect::<Result<_, _>>()?;
    job.filenames = names;
    Ok(())
}

fn filename_format(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let format = path(value)?;
    let rest = format.replace("$jobname", "").replace("$jobnum", "").replace("$filenum", "");
    if rest.contains('$') {
        return Err(format!("'{format}': only $jobname, $jobnum and $filenum are known"));
    }
    job.filename_format = format;
    Ok(())
}

fn rw(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    job.rw = match value {
        "read" => Rw::Read,
        "write" => Rw::Write,
        "randread" => Rw::RandRead,
        "randwrite" => Rw::RandWrite,
        "rw" | "readwrite" => Rw::ReadWrite,
        "randrw" => Rw::RandRw,
        _ if value.contains("trim") => {
            return Err(format!(
                "'{value}': NFSv3 has no trim; use read, write, randread, randwrite, rw or randrw"
            ));
        }
        _ if value.contains(':') => {
            return Err(format!("'{value}': sequence modifiers after ':' are not supported"));
        }
        _ => {
            return Err(format!("'{value}' is not read, write, randread, randwrite, rw or randrw"));
        }
    };
    Ok(())
}

fn bs(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let one = |text: &str| match size(text)? {
        0 => Err("a block of 0 bytes moves nothing; use for example 4k".to_owned()),
        n if n > BS_MAX => Err(format!("'{text}' is more than {BS_MAX} bytes")),
        n => Ok(n as u32),
    };
    match parts[..] {
        [both] => job.bs = [one(both)?; 2],
        // An empty part leaves that direction alone, and the third part is trim's.
        [read, write] | [read, write, _] => {
            for (direction, part) in [read, write].into_iter().enumerate() {
                if !part.is_empty() {
                    job.bs[direction] = one(part)?;
                }
            }
        }
        _ => return Err(format!("'{value}' has too many parts; write SIZE or READ,WRITE")),
    }
    Ok(())
}

fn sync(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    job.stable = match value.unwrap_or("") {
        "0" | "none" => false,
        "1" | "sync" | "dsync" => true,
        other => return Err(format!("'{other}' is not 0, 1, none, sync or dsync")),
    };
    Ok(())
}

fn verify(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    job.verify = match value.unwrap_or("") {
        "0" => Verify::None,
        "crc32c" | "crc32c-intel" => Verify::Crc32c,
        "pattern" => Verify::Pattern,
        other => return Err(format!("'{other}' is not supported; use crc32c or pattern")),
    };
    Ok(())
}

fn ioengine(_: &mut Job, value: Option<&str>) -> Result<(), String> {
    match value.unwrap_or("") {
        "nfs" | "initiator" => Ok(()),
        other => Err(format!(
            "'{other}' is an engine of fio's; this client is the only one here: leave ioengine out, or say nfs"
        )),
    }
}

fn randrepeat(_: &mut Job, value: Option<&str>) -> Result<(), String> {
    match flag(value)? {
        true => Ok(()),
        false => Err("runs always repeat; for other random numbers use randseed=".into()),
    }
}

fn one_of(value: Option<&str>, known: &[&str]) -> Result<(), String> {
    let value = value.unwrap_or("");
    match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("'{value}' is not one of {}", known.join(", "))),
    }
}

fn number(value: Option<&str>, min: u64, max: u64) -> Result<u64, String> {
    count(value.unwrap_or(""), min, max)
}

fn bytes(value: Option<&str>, min: u64) -> Result<u64, String> {
    let value = value.unwrap_or("");
    if value.ends_with('%') {
        return Err(format!("'{value}': percentages are not supported; write a size such as 1g"));
    }
    match size(value)? {
        n if n < min => Err(format!("{n} is out of range; use at least {min}")),
        n => Ok(n),
    }
}

fn time(value: Option<&str>) -> Result<u64, String> {
    time_ns(value.unwrap_or(""))
}
