//! Corpora as tools/fuzz wants them: a file for each input, and back.
//!
//!     fuzz-corpus list
//!     fuzz-corpus unpack TARGET DIRECTORY
//!     fuzz-corpus pack DIRECTORY TARGET

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, bail};
use fuzz::{TARGETS, corpus_path, find, parse_corpus, seeds, write_corpus};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.len_max));
            Ok(())
        }
        ["unpack", target, directory] => unpack(target, directory.as_ref()),
        ["pack", directory, target] => pack(directory.as_ref(), target),
        _ => bail!("list, unpack TARGET DIRECTORY, or pack DIRECTORY TARGET"),
    }
}

fn unpack(target: &str, directory: &Path) -> Result<()> {
    find(target).with_context(|| format!("no target is called '{target}'"))?;
    let path = corpus_path(target);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let kept =
        parse_corpus(&text).with_context(|| format!("{}: no hexadecimal", path.display()))?;
    for (number, input) in kept.into_iter().chain(seeds::of(target)).enumerate() {
        std::fs::write(directory.join(format!("{number:05}")), input)?;
    }
    Ok(())
}

fn pack(directory: &Path, target: &str) -> Result<()> {
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        inputs.push(std::fs::read(entry?.path())?);
    }
    let path = corpus_path(target);
    std::fs::write(&path, write_corpus(inputs)).with_context(|| path.display().to_string())
}
