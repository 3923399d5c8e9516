//! Bytes to lines of a job file.
//!
//! The dialect is fio's: `[section]`, `key=value`, `flag`, `include FILE`; a `;` or `#` starts a
//! comment anywhere in a line; `${NAME}` is the environment's. Any bytes are safe to feed: sizes are
//! bounded before anything is kept.

use crate::error::{JobError, Place};
use std::sync::Arc;

/// Largest job file accepted, included files and all.
pub const JOB_FILE_BYTES_MAX: usize = 1 << 20;
/// Longest line accepted, as in fio.
pub const LINE_BYTES_MAX: usize = 4096;

/// One meaningful line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) token: Token,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Section(String),
    Option { key: String, value: Option<String> },
    Include(String),
}

/// Splits a whole file; the first line that cannot be read ends it.
pub(super) fn lex(bytes: &[u8], file: &Arc<str>) -> Result<Vec<Line>, JobError> {
    if bytes.len() > JOB_FILE_BYTES_MAX {
        let message = format!("the job file has more than {JOB_FILE_BYTES_MAX} bytes");
        return Err(JobError::new(place(file, 1, 1), message));
    }
    let mut lines = Vec::new();
    for (index, raw) in bytes.split(|&b| b == b'\n').enumerate() {
        let number = index as u32 + 1;
        let text = decode(raw, file, number)?;
        if let Some(line) = lex_line(text, file, number)? {
            lines.push(line);
        }
    }
    Ok(lines)
}

fn place(file: &Arc<str>, line: u32, column: u32) -> Place {
    Place::Line { file: file.clone(), line, column }
}

fn decode<'a>(raw: &'a [u8], file: &Arc<str>, number: u32) -> Result<&'a str, JobError> {
    if raw.len() > LINE_BYTES_MAX {
        let message = format!("the line is longer than {LINE_BYTES_MAX} bytes");
        return Err(JobError::new(place(file, number, 1), message));
    }
    std::str::from_utf8(raw).map_err(|e| {
        let good = String::from_utf8_lossy(&raw[..e.valid_up_to()]);
        let column = good.chars().count() as u32 + 1;
        let message = "the line is not UTF-8 text; is this a job file?";
        JobError::new(place(file, number, column), message)
    })
}

fn lex_line(text: &str, file: &Arc<str>, number: u32) -> Result<Option<Line>, JobError> {
    let end = text.find([';', '#']).unwrap_or(text.len());
    let body = text[..end].trim();
    if body.is_empty() {
        return Ok(None);
    }
    let indent = text.chars().take_while(|c| c.is_whitespace()).count() as u32;
    let at = place(file, number, indent + 1);
    if let Some(control) = body.chars().position(|c| c.is_control() && c != '\t') {
        let column = indent + control as u32 + 1;
        let message = "a control character; a job file is plain text";
        return Err(JobError::new(place(file, number, column), message));
    }
    let token = match body.strip_prefix('[') {
        Some(rest) => section(rest).map_err(|m| JobError::new(at.clone(), m))?,
        None => option(body).map_err(|m| JobError::new(at.clone(), m))?,
    };
    Ok(Some(Line { place: at, token }))
}

fn section(rest: &str) -> Result<Token, String> {
    let Some((name, tail)) = rest.split_once(']') else {
        return Err(format!("'[{rest}' has no closing ']'"));
    };
    if !tail.trim().is_empty() {
        return Err(format!("'{}' after the closing ']'", tail.trim()));
    }
    match name.trim() {
        "" => Err("a section needs a name, as in [job1]".into()),
        name => Ok(Token::Section(name.to_owned())),
    }
}

fn option(body: &str) -> Result<Token, String> {
    let expanded = super::variables::environment(body)?;
    let body = expanded.trim();
    if let Some(path) = body.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
        return Ok(Token::Include(path.trim().to_owned()));
    }
    let (key, value) = match body.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (body, None),
    };
    if key.is_empty() {
        return Err("'=' without an option name before it".into());
    }
    if key.split_whitespace().nth(1).is_some() {
        return Err(format!("'{body}' is neither [section] nor option=value"));
    }
    let value = value.map(super::variables::keywords).transpose()?;
    Ok(Token::Option { key: key.to_owned(), value })
}
