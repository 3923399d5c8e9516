//! Values: what they look like and what is wrong with them.

use super::TEXT_BYTES_MAX;
use crate::jobfile::size::{count, size, time_in, time_ns};

/// For each direction what was said of it.
pub(super) type Said<T> = [Option<T>; 2];

pub(super) fn text(value: Option<&str>) -> Result<String, String> {
    let value = value.unwrap_or("");
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(value.to_owned())
}

/// A path below the mount, which it must not leave.
pub(super) fn path(value: Option<&str>) -> Result<String, String> {
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

pub(super) fn one_of(value: Option<&str>, known: &[&str]) -> Result<(), String> {
    let value = value.unwrap_or("");
    match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("'{value}' is not one of {}", known.join(", "))),
    }
}

pub(super) fn number(value: Option<&str>, min: u64, max: u64) -> Result<u64, String> {
    count(value.unwrap_or(""), min, max)
}

pub(super) fn bytes(value: Option<&str>, min: u64) -> Result<u64, String> {
    match size(value.unwrap_or(""))? {
        n if n < min => Err(format!("{n} is out of range; use at least {min}")),
        n => Ok(n),
    }
}

/// A time whose plain numbers are seconds.
pub(super) fn time(value: Option<&str>) -> Result<u64, String> {
    time_ns(value.unwrap_or(""))
}

/// A time whose plain numbers are microseconds.
pub(super) fn time_us(value: Option<&str>) -> Result<u64, String> {
    time_in(value.unwrap_or(""), 1_000)
}

/// A number of milliseconds.
pub(super) fn milliseconds(value: Option<&str>) -> Result<u64, String> {
    Ok(time_in(value.unwrap_or(""), 1_000_000)? / 1_000_000)
}

/// `READ`, `READ,WRITE` or `READ,WRITE,TRIM`: one part is for all directions, an empty one leaves
/// its direction alone.
pub(super) fn by_direction<T: Clone>(
    value: Option<&str>,
    mut one: impl FnMut(&str) -> Result<T, String>,
) -> Result<Said<T>, String> {
    let value = value.unwrap_or("");
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let mut said = |part: &str| match part {
        "" => Ok(None),
        part => one(part).map(Some),
    };
    match parts[..] {
        [all] => {
            let all = said(all)?;
            Ok([all.clone(), all])
        }
        [read, write] => Ok([said(read)?, said(write)?]),
        [read, write, trim] => {
            let both = [said(read)?, said(write)?];
            // Nothing is trimmed, but what is said of it must make sense.
            said(trim)?;
            Ok(both)
        }
        _ => Err(format!("'{value}' has too many parts; write READ or READ,WRITE")),
    }
}

/// Sets what was said.
pub(super) fn set_said<T>(both: &mut [T; 2], said: Said<T>) {
    for (place, value) in both.iter_mut().zip(said) {
        if let Some(value) = value {
            *place = value;
        }
    }
}

/// A number with a decimal point between two bounds, both included.
pub(super) fn decimal(text: &str, min: f64, max: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n >= min && n <= max => Ok(n),
        Ok(n) => Err(format!("{n} is out of range; use {min} to {max}")),
        Err(_) => Err(format!("'{text}' is not a number; use {min} to {max}")),
    }
}

/// `LOW-HIGH`, or one value for both.
pub(super) fn range(
    text: &str,
    one: impl Fn(&str) -> Result<u64, String>,
) -> Result<(u64, u64), String> {
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (one(low.trim())?, one(high.trim())?),
        None => (one(text)?, one(text)?),
    };
    match low <= high {
        true => Ok((low, high)),
        false => Err(format!("'{text}': the first must not be larger than the second")),
    }
}
