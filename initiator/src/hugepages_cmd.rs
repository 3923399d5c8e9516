//! `initiator hugepages`: what the kernel keeps aside, and asking for more.

use std::process::ExitCode;

use anyhow::Result;
use hugepages::reserve;

use crate::EXIT_FAILURE;
use crate::cli::{HugepagesAction, HugepagesArgs};

/// Shows or reserves.
pub(crate) fn run(args: &HugepagesArgs) -> Result<ExitCode> {
    match &args.action {
        None | Some(HugepagesAction::Status) => status(),
        Some(HugepagesAction::Reserve { pages, page_size, node }) => {
            let reserved = reserve::reserve(*pages, page_size.0, *node)?;
            if reserved.got < reserved.asked {
                eprintln!("initiator: {reserved}");
                return Ok(ExitCode::from(EXIT_FAILURE));
            }
            println!("{reserved}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn status() -> Result<ExitCode> {
    let all = reserve::status()?;
    if all.is_empty() {
        println!("this kernel has no huge pages (no /sys/kernel/mm/hugepages)");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:>4} {:>6} {:>9} {:>9} {:>9}", "node", "size", "reserved", "free", "surplus");
    for reserve::NodeStatus { node, page_size, total, free, surplus } in all {
        println!("{node:>4} {page_size:>6} {total:>9} {free:>9} {surplus:>9}");
    }
    Ok(ExitCode::SUCCESS)
}
