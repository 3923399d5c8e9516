//! What people write. Refusing it takes one line that says something.

use std::fmt::Display;

use client::NfsUrl;
use target::Misbehaviour;
use workload::JobFile;

use crate::config::Settings;

fn is_one_line(error: &impl Display) {
    let text = format!("{error:#}");
    assert!(!text.trim().is_empty() && !text.contains('\n'), "{text:?}");
}

/// A job file that includes no others.
pub(crate) fn job_file(data: &[u8]) {
    match JobFile::parse(data, "jobs.fio") {
        Ok(file) => assert!(!file.jobs.is_empty()),
        Err(error) => is_one_line(&error),
    }
}

/// `--config`.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let checked = Settings::parse(text, "initiator.toml").and_then(|settings| settings.check());
    if let Err(error) = checked {
        is_one_line(&error);
    }
}

/// `--misbehave`, on the command line and to a running target.
pub(crate) fn orders(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Misbehaviour>() {
        Ok(orders) => assert_eq!(orders.to_string().parse(), Ok(orders)),
        Err(error) => is_one_line(&error),
    }
}

/// What to mount.
pub(crate) fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<NfsUrl>() {
        Ok(url) => assert_eq!(url.to_string().parse::<NfsUrl>().as_ref(), Ok(&url)),
        Err(error) => is_one_line(&error),
    }
}
