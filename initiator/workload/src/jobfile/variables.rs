//! `${NAME}` from the environment, and fio's words for what the machine has.

use super::lexer::LINE_BYTES_MAX;

/// Bytes of a page, `$pagesize`.
const PAGE_BYTES: u64 = 4096;

/// Replaces `${NAME}` by the environment's value; a name that is not set is nothing, as in fio.
pub(super) fn environment(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let Some((name, tail)) = rest[at + 2..].split_once('}') else {
            return Err(format!("'{}' has no closing '}}'", &rest[at..]));
        };
        out.push_str(&std::env::var(name).unwrap_or_default());
        rest = tail;
        if out.len() > LINE_BYTES_MAX {
            return Err(format!("longer than {LINE_BYTES_MAX} bytes with the environment in it"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Replaces `$pagesize`, `$mb_memory` and `$ncpus`; a value with one of them may be a product, as
/// in `8*$mb_memory`.
pub(super) fn keywords(value: &str) -> Result<String, String> {
    if !["$pagesize", "$mb_memory", "$ncpus"].iter().any(|word| value.contains(word)) {
        return Ok(value.to_owned());
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let replaced = value
        .replace("$pagesize", &PAGE_BYTES.to_string())
        .replace("$mb_memory", &memory_mib().to_string())
        .replace("$ncpus", &cpus.to_string());
    if replaced.contains(['+', '*', '/', '-']) && !replaced.starts_with('(') {
        let number = |text: &str| super::size::size(text);
        if let Ok(sum) = super::arithmetic::evaluate(&replaced, &number) {
            return Ok(sum.to_string());
        }
    }
    Ok(replaced)
}

/// Memory of this machine, in MiB.
fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
