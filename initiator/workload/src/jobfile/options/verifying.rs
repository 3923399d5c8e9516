//! Writing what can be checked, and checking it.

use super::values::{bytes, number};
use super::{OptionDoc, works};
use crate::job::{Job, Verify};
use crate::jobfile::size::flag;
use crate::verify::{Pattern, Sum};

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDoc] = &[
    works("verify", "", "crc32c|md5|crc64|crc32|crc16|crc7|sha1|sha256|sha512|sha3-224...512|xxhash|meta|pattern|null|0", "write blocks that can be checked, and check them",
        verify),
    works("verify_pattern", "", "0xHEX|\"TEXT\"|N|%o...", "what blocks are filled with; %o is the block's offset",
        |j, v| Pattern::parse(v.unwrap_or("")).map(|p| {
            j.verify_options.pattern = Some(p);
            // As in fio: a pattern by itself asks for itself, below a header.
            if j.verify == Verify::None {
                j.verify = Verify::Sum(Sum::PatternHeader);
            }
        })),
    works("verify_interval", "", "SIZE", "a header for each so many bytes of a block",
        |j, v| bytes(v, 1).map(|n| j.verify_options.interval = n.min(u32::MAX.into()) as u32)),
    works("verify_offset", "", "SIZE", "where the header is, counted from the block's start",
        |j, v| bytes(v, 0).map(|n| j.verify_options.offset = n.min(u32::MAX.into()) as u32)),
    works("verify_backlog", "", "N", "check after every N writes, which are FILE_SYNC then, not at the end only",
        |j, v| number(v, 0, u32::MAX.into()).map(|n| j.verify_options.backlog = n)),
    works("verify_backlog_batch", "", "N", "so many at a time; verify_backlog unless told",
        |j, v| number(v, 0, u32::MAX.into()).map(|n| j.verify_options.backlog_batch = n)),
    works("verify_fatal", "", "", "the first bad block ends the job; otherwise all are looked at",
        |j, v| flag(v).map(|b| j.verify_options.fatal = b)),
    works("verify_dump", "", "", "write a bad block, and what should be there, to files",
        |j, v| flag(v).map(|b| j.verify_options.dump = b)),
    works("verify_only", "", "", "do not write: check what an earlier run of the same job wrote",
        |j, v| flag(v).map(|b| j.verify_options.only = b)),
    works("verify_state_save", "", "", "keep what was written so far in ./local-JOB-INSTANCE-verify.state, which stays unless all of it is verified; off unless told",
        |j, v| flag(v).map(|b| j.verify_options.state_save = b)),
    works("verify_state_load", "", "", "check what that file of an earlier run says was written, and nothing else",
        |j, v| flag(v).map(|b| j.verify_options.state_load = b)),
    works("do_verify", "", "", "read back and check after writing; on unless told",
        |j, v| flag(v).map(|b| j.do_verify = b)),
];

fn verify(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    job.verify = match value {
        "0" => Verify::None,
        "pattern" => Verify::Pattern,
        "null" => Verify::Null,
        _ => match Sum::of(value) {
            Some(sum) => Verify::Sum(sum),
            None => {
                let known: Vec<&str> = Sum::names().collect();
                return Err(format!(
                    "'{value}' is not supported; use {}, pattern, null or 0",
                    known.join(", ")
                ));
            }
        },
    };
    Ok(())
}
