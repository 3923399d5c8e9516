//! Where a random job goes.

use super::values::{by_direction, decimal, number, set_said};
use super::{OptionDoc, works};
use crate::job::{Distribution, Generated, Job, Skew, Zone};
use crate::jobfile::size::{flag, size};

/// Most zones, as in fio.
const ZONES_MAX: usize = 256;

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDoc] = &[
    works("randseed", "", "N", "seed of the random numbers; of offsets too with randrepeat=0",
        |j, v| number(v, 0, i64::MAX as u64).map(|n| { j.random.seed = n; j.random.seed_given = true; })),
    works("randrepeat", "", "", "the same random numbers in every run; on unless told",
        |j, v| flag(v).map(|b| j.random.repeat = b)),
    works("allrandrepeat", "", "", "the same for all that is random, not offsets only",
        |j, v| flag(v).map(|b| j.random.repeat_all = b)),
    works("norandommap", "", "", "random offsets may repeat before each block was visited once",
        |j, v| flag(v).map(|b| j.random.no_map = b)),
    works("random_generator", "", "tausworthe|tausworthe64|lfsr", "where random offsets come from",
        |j, v| {
            j.random.generator = match v.unwrap_or("") {
                "tausworthe" => Generated::Tausworthe,
                "tausworthe64" => Generated::Tausworthe64,
                "lfsr" => Generated::Lfsr,
                other => return Err(format!("'{other}' is not tausworthe, tausworthe64 or lfsr")),
            };
            Ok(())
        }),
    works("random_distribution", "", "random|zipf:THETA|pareto:H|normal:DEV[:CENTER]|zoned:ACCESS/SIZE:...|zoned_abs:ACCESS/BYTES:...", "which offsets are likelier",
        distribution),
    works("percentage_random", "", "PERCENT[,PERCENT]", "so much of a random job is random, the rest in order",
        |j, v| by_direction(v, |t| number(Some(t), 0, 100).map(|n| n as u8)).map(|said| set_said(&mut j.random.percentage, said))),
];

/// `zipf:1.2:0.5` and its kin; `None` when it is something else.
pub(super) fn skew(value: &str) -> Result<Option<(Skew, Option<f64>)>, String> {
    let mut parts = value.split(':');
    let kind = parts.next().unwrap_or("");
    let shape = parts.next().filter(|part| !part.is_empty());
    let number = |default, min, max| shape.map_or(Ok(default), |text| decimal(text, min, max));
    let skew = match kind {
        "zipf" => match number(1.1, 0.0, 100.0)? {
            1.0 => return Err("zipf's theta must not be 1.0; use for example 1.1".into()),
            theta => Skew::Zipf(theta),
        },
        "pareto" => match number(0.2, 0.0, 1.0)? {
            h if h == 0.0 || h == 1.0 => return Err("pareto's h is between 0 and 1".into()),
            h => Skew::Pareto(h),
        },
        "normal" | "gauss" => Skew::Normal(number(0.0, 0.0, 99.999)?),
        _ => return Ok(None),
    };
    let center = parts.next().map(|text| decimal(text, 0.0, 1.0)).transpose()?;
    match parts.next() {
        Some(more) => Err(format!("'{value}': cannot read '{more}'")),
        None => Ok(Some((skew, center))),
    }
}

fn distribution(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let zones = |text: &str, absolute| {
        let said = by_direction(Some(text), |text| zone_list(text, absolute))?;
        Ok::<_, String>(said.map(Option::unwrap_or_default))
    };
    job.random.distribution = match value.split_once(':') {
        None if value == "random" => Distribution::Uniform,
        Some(("zoned", text)) => Distribution::Zoned(zones(text, false)?),
        Some(("zoned_abs", text)) => Distribution::ZonedAbsolute(zones(text, true)?),
        _ => match skew(value)? {
            Some((skew, center)) => Distribution::Skewed(skew, center),
            None => {
                return Err(format!(
                    "'{value}' is not random, zipf, pareto, normal, zoned:... or zoned_abs:..."
                ));
            }
        },
    };
    Ok(())
}

/// `60/10:40/90`: 60 percent of the accesses to the first 10 percent, and so on. What is left out
/// is divided over the zones that do not say.
fn zone_list(text: &str, absolute: bool) -> Result<Vec<Zone>, String> {
    let mut zones = Vec::new();
    for part in text.split(':').map(str::trim) {
        let (access, extent) = part.split_once('/').unwrap_or((part, ""));
        let access = match access.trim() {
            "" => None,
            access => Some(number(Some(access), 0, 100)?),
        };
        let extent = match (extent.trim(), absolute) {
            ("", true) => return Err(format!("'{part}': how many bytes? write ACCESS/BYTES")),
            ("", false) => None,
            (extent, true) => Some(size(extent)?),
            (extent, false) => Some(number(Some(extent), 0, 100)?),
        };
        zones.push((access, extent));
    }
    if zones.len() > ZONES_MAX {
        return Err(format!("{} zones are more than {ZONES_MAX}", zones.len()));
    }
    let accesses = shares(zones.iter().map(|zone| zone.0), "accesses")?;
    let extents = match absolute {
        true => zones.iter().map(|zone| zone.1.unwrap_or(0)).collect(),
        false => shares(zones.iter().map(|zone| zone.1), "sizes")?,
    };
    let zone = |(access, size)| Zone { access_percent: access as u8, size };
    Ok(accesses.into_iter().zip(extents).map(zone).collect())
}

/// Percentages that add up to 100, with those that were left out filled in.
fn shares(given: impl Iterator<Item = Option<u64>> + Clone, of: &str) -> Result<Vec<u64>, String> {
    let sum: u64 = given.clone().flatten().sum();
    let open = given.clone().filter(Option::is_none).count() as u64;
    if sum > 100 || (open == 0 && sum != 100) {
        return Err(format!("the {of} add up to {sum} percent, not to 100"));
    }
    let rest = (100 - sum).checked_div(open).unwrap_or(0);
    Ok(given.map(|share| share.unwrap_or(rest)).collect())
}
