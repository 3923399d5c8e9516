//! Numbers as fio writes them: sizes, times, counts, flags.
//!
//! The suffixes mean what they mean to fio 3.33 with its default `kb_base=1024`, including the
//! surprise that `kb` is 1024 and `kib` is 1000. What follows the suffix is refused here, where
//! fio drops it in silence.

use super::arithmetic::evaluate;

/// Powers of the base a suffix stands for.
const SIZE_SUFFIXES: [(&str, u32); 5] = [("k", 1), ("m", 2), ("g", 3), ("t", 4), ("p", 5)];

/// A byte count as fio writes it: `4096`, `0x1000`, `4k`, `1g`.
///
/// # Errors
/// What is wrong with the text, and how it should look.
pub fn size(text: &str) -> Result<u64, String> {
    match text.starts_with('(') {
        true => evaluate(text, &plain_size),
        false => plain_size(text),
    }
}

fn plain_size(text: &str) -> Result<u64, String> {
    let (digits, suffix) = split(text);
    let number = digits_value(digits)
        .ok_or_else(|| format!("'{text}' is not a size; write for example 4096, 4k, 1m or 2g"))?;
    let factor = size_factor(&suffix.to_ascii_lowercase()).ok_or_else(|| {
        format!("'{text}': unknown suffix '{suffix}'; sizes end in k, m, g, t or p")
    })?;
    number
        .checked_mul(factor)
        .filter(|&bytes| bytes <= i64::MAX as u64)
        .ok_or_else(|| format!("'{text}' is too large"))
}

fn size_factor(suffix: &str) -> Option<u64> {
    if suffix.is_empty() || suffix == "b" {
        return Some(1);
    }
    let (power, rest) = SIZE_SUFFIXES
        .iter()
        .find_map(|(letter, power)| suffix.strip_prefix(letter).map(|rest| (*power, rest)))?;
    match rest {
        "" | "b" | "i" => Some(1024u64.pow(power)),
        "ib" => Some(1000u64.pow(power)),
        _ => None,
    }
}

/// A time in nanoseconds: `10` (seconds), `10s`, `1m`, `500ms`, `100us`.
///
/// # Errors
/// What is wrong with the text, and how it should look.
pub fn time_ns(text: &str) -> Result<u64, String> {
    time_in(text, 1_000_000_000)
}

/// The same for options in which a number by itself is of another unit.
pub(crate) fn time_in(text: &str, unit_ns: u64) -> Result<u64, String> {
    if !text.starts_with('(') {
        return plain_time(text, unit_ns);
    }
    // Summed in microseconds, so that a product of numbers without a unit is one in the option's.
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    let unit_us = if has_unit { 1 } else { unit_ns / 1_000 };
    let number = |text: &str| match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => plain_time(text, unit_ns).map(|ns| ns / 1_000),
    };
    evaluate(text, &number)?
        .checked_mul(unit_us * 1_000)
        .filter(|&ns| ns <= i64::MAX as u64)
        .ok_or_else(|| format!("'{text}' is too long a time"))
}

fn plain_time(text: &str, unit_ns: u64) -> Result<u64, String> {
    let (digits, suffix) = split(text);
    let number = digits_value(digits)
        .ok_or_else(|| format!("'{text}' is not a time; write for example 10, 10s, 1m or 500ms"))?;
    let factor: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" => unit_ns,
        "us" | "usec" => 1_000,
        "ms" | "msec" => 1_000_000,
        "s" | "sec" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => {
            return Err(format!(
                "'{text}': unknown suffix '{suffix}'; times end in us, ms, s, m, h or d"
            ));
        }
    };
    number
        .checked_mul(factor)
        .filter(|&ns| ns <= i64::MAX as u64)
        .ok_or_else(|| format!("'{text}' is too long a time"))
}

/// A count between two bounds, both included.
pub(crate) fn count(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match size(text) {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        Ok(n) => Err(format!("{n} is out of range; use {min} to {max}")),
        Err(_) => Err(format!("'{text}' is not a number; use {min} to {max}")),
    }
}

/// `1` or `0`; a flag without a value is true.
pub(crate) fn flag(text: Option<&str>) -> Result<bool, String> {
    match text {
        None | Some("1") => Ok(true),
        Some("0") => Ok(false),
        Some(other) => Err(format!("'{other}' is not 0 or 1")),
    }
}

/// Digits (decimal, or hexadecimal after `0x`) and what follows them.
fn split(text: &str) -> (&str, &str) {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (body, is_digit): (&str, fn(&char) -> bool) = match hex {
        Some(rest) => (rest, char::is_ascii_hexdigit),
        None => (text, char::is_ascii_digit),
    };
    let start = text.len() - body.len();
    let digits = body.chars().take_while(is_digit).count();
    (&text[..start + digits], &text[start + digits..])
}

fn digits_value(digits: &str) -> Option<u64> {
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}
