//! docs/fio-compat.md, made of the table of options and of what the comparisons show.

use std::fmt::Write;
use std::path::PathBuf;

use crate::cases::CASES;
use workload::{Effect, OptionDoc, options};

/// Set to write the document instead of comparing it.
pub(crate) const WRITE: &str = "FIO_COMPAT_WRITE";

/// Options that work, are not compared with fio, and by what they are shown to work instead.
const SHOWN_BY: &[(&str, &str)] =
    &[("nfs_url", "as fio's nfs engine names the mount; tests with knfsd")];

const HEAD: &str = "\
# What of fio works here

This page is made from the table of options in `initiator/workload/src/jobfile/options/` and from a
run beside real fio 3.33: change it by running `tools/fio-compat`. The same text for one option:
`initiator run --cmdhelp=OPTION`.

What is held side by side is what is asked of the file: direction, file, offset and length of every
operation, in order, and the counts and fields of the report. fio runs with a queueing engine (libaio)
at the job's depth on a file of this machine. This runner does the same job twice: in the test's own
process on such a file, and as `initiator run --embedded` over the whole client to the target, which
keeps its files in a directory. Random numbers are fio's, with fio's seeds: a job goes to the same
places in the same order. A dash: it takes the program itself, or is not compared.
Where time decides, the target, whose reactor shares this machine with the job's, may be late: there a
rate is not to be exceeded and a time not to be cut short.

Where this runner differs on purpose:

- With `rate`, `rate_iops`: each operation has a time at which it is due, and its latency (`clat` and
  `lat`, `slat` is 0) counts from then, also where fio, submitting late, would start the clock late.
- `fsync=N` in a mixed job: one COMMIT after every N writes. fio repeats it after each read until the
  next write.
- What was written is read back in the order of its offsets, and each block must come from the last
  write to it, not only be sound.
- `verify=sha256` and `verify=sha512` are those of FIPS 180; fio's are not, so that these two cannot
  be exchanged with fio.
- `verify_state_save` is off unless told (in fio it is on), the file has a format of its own
  (`initiator/workload/src/verify/state.rs`), is kept up to date so that a run that is killed leaves it
  too, and is removed when all that it says was written has been verified.
- `verify_only` reports no writes; fio reports those that it would have made.
- `iodepth_batch_complete_max` unless told is all that have completed (in fio the minimum).
- `--client` and `--server` are left to fio itself: run fio with `tools/fio-engine`.
";

/// How an option compares with fio, on a file or on the target.
fn compared(option: &OptionDoc, on_file: bool) -> Option<String> {
    let mut texts: Vec<&str> = Vec::new();
    for case in CASES.iter().filter(|case| case.about.contains(&option.name)) {
        let text = case.alike.text();
        if (case.alike.on_file() || !on_file) && !texts.contains(&text) {
            texts.push(text);
        }
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The two columns of the table.
fn shown(option: &OptionDoc) -> Option<String> {
    let stated = SHOWN_BY.iter().find(|(name, _)| *name == option.name);
    match (compared(option, true), compared(option, false)) {
        (None, None) => stated.map(|(_, text)| format!("- | {text}")),
        (file, target) => {
            let file = file.unwrap_or_else(|| "-".to_owned());
            let target = target.unwrap_or_else(|| "-".to_owned());
            Some(match file == target {
                true => format!("{file} | the same"),
                false => format!("{file} | {target}"),
            })
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn section(
    out: &mut String,
    title: &str,
    head: &str,
    effect: Effect,
    row: impl Fn(&OptionDoc) -> String,
) {
    let _ = write!(out, "\n## {title}\n\n{head}\n");
    for option in options().filter(|option| option.effect == effect) {
        let alias = match option.alias {
            "" => String::new(),
            alias => format!(", `{alias}`"),
        };
        let _ = writeln!(out, "| `{}`{alias} | {} |", option.name, row(option));
    }
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    section(
        &mut out,
        "Supported",
        "| option | value | what it does | beside fio, on a file | beside fio, on the target |\n|---|---|---|---|---|",
        Effect::Works,
        |option| {
            let value = if option.value.is_empty() {
                "flag".into()
            } else {
                format!("`{}`", cell(option.value))
            };
            format!("{value} | {} | {}", cell(option.help), shown(option).unwrap_or_default())
        },
    );
    section(
        &mut out,
        "Accepted without effect",
        "| option | why |\n|---|---|",
        Effect::NoOp,
        |option| cell(option.help),
    );
    section(
        &mut out,
        "Refused",
        "A job with one of these does not run; the message is `FILE:LINE:COLUMN: option 'NAME' is not supported:` and\n\n| option | the rest of the message |\n|---|---|",
        Effect::Refused,
        |option| cell(option.help),
    );
    out
}

#[test]
fn every_option_that_works_is_shown_to() {
    let unshown: Vec<&str> = options()
        .filter(|option| option.effect == Effect::Works && shown(option).is_none())
        .map(|option| option.name)
        .collect();
    assert_eq!(unshown, [""; 0], "neither compared with fio nor stated in SHOWN_BY");
    for name in
        CASES.iter().flat_map(|case| case.about).chain(SHOWN_BY.iter().map(|(name, _)| name))
    {
        let known = workload::option(name).is_some_and(|option| option.name == *name);
        assert!(known, "'{name}' is no option that works");
    }
}

#[test]
fn the_document_says_what_the_comparisons_show() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/fio-compat.md");
    let document = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &document).expect("the document is written");
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == document, "docs/fio-compat.md is not up to date: run tools/fio-compat");
}

#[test]
fn every_option_of_fios_is_in_the_table() {
    if !crate::fio_is_here() {
        return;
    }
    let unknown: Vec<String> = crate::fio::option_names()
        .into_iter()
        .filter(|name| workload::option(name).is_none())
        .collect();
    assert_eq!(unknown, [""; 0]);
}
