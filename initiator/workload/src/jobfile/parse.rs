//! Lines to jobs: sections, inheritance from `[global]`, groups and stages.

use super::lexer::{Line, Token, lex};
use super::options;
use super::{INSTANCES_MAX, JOBS_MAX, JobFile};
use crate::error::{JobError, Place};
use crate::job::Job;
use std::sync::Arc;

/// Most options in [global]: every job applies them all.
const GLOBALS_MAX: usize = 256;

/// An option as written.
#[derive(Clone)]
struct Setting<'a> {
    place: Place,
    key: &'a str,
    value: Option<&'a str>,
}

struct Section<'a> {
    name: &'a str,
    place: Place,
    /// `[global]` as it stood when the section began, as in fio.
    inherited: usize,
    settings: Vec<Setting<'a>>,
}

pub(super) fn parse(bytes: &[u8], file: &str) -> Result<JobFile, JobError> {
    let file: Arc<str> = file.into();
    let lines = lex(bytes, &file)?;
    let (globals, sections) = sections(lines)?;
    if sections.is_empty() {
        let place = Place::Line { file, line: 1, column: 1 };
        let message = "no job in the file; a job is a section such as [job1]";
        return Err(JobError::new(place, message));
    }
    let mut jobs: Vec<Job> = Vec::with_capacity(sections.len());
    for section in &sections {
        let mut job = build(section, &globals[..section.inherited])?;
        number(&mut job, jobs.last());
        jobs.push(job);
    }
    check_instances(&jobs)?;
    let global_options = globals.iter().map(written).collect();
    Ok(JobFile { jobs, global_options })
}

fn sections<'a>(lines: Vec<Line<'a>>) -> Result<(Vec<Setting<'a>>, Vec<Section<'a>>), JobError> {
    let mut globals = Vec::new();
    let mut sections: Vec<Section<'a>> = Vec::new();
    // None before the first section, Some(true) inside [global].
    let mut in_global = None;
    for Line { place, token } in lines {
        match token {
            Token::Section("global") => in_global = Some(true),
            Token::Section(name) => {
                if sections.len() == JOBS_MAX {
                    return Err(JobError::new(place, format!("more than {JOBS_MAX} jobs")));
                }
                in_global = Some(false);
                let inherited = globals.len();
                sections.push(Section { name, place, inherited, settings: Vec::new() });
            }
            Token::Option { key, value } => {
                let setting = Setting { place, key, value };
                match (in_global, sections.last_mut()) {
                    (Some(true), _) if globals.len() == GLOBALS_MAX => {
                        let message = format!("more than {GLOBALS_MAX} options in [global]");
                        return Err(JobError::new(setting.place, message));
                    }
                    (Some(true), _) => globals.push(setting),
                    (Some(false), Some(section)) => section.settings.push(setting),
                    _ => {
                        let message = format!("'{key}' before any [section]");
                        return Err(JobError::new(setting.place, message));
                    }
                }
            }
        }
    }
    Ok((globals, sections))
}

fn check_instances(jobs: &[Job]) -> Result<(), JobError> {
    let mut instances = 0;
    for job in jobs {
        instances += job.numjobs;
        if instances > INSTANCES_MAX {
            let message = format!("numjobs of all jobs together is more than {INSTANCES_MAX}");
            return Err(job.error("numjobs", message));
        }
    }
    Ok(())
}

fn build(section: &Section<'_>, globals: &[Setting<'_>]) -> Result<Job, JobError> {
    let mut job = Job::named(section.name);
    job.place = Some(section.place.clone());
    for setting in globals.iter().chain(&section.settings) {
        options::apply(&mut job, setting.key, setting.value, setting.place.clone())?;
    }
    job.options = section.settings.iter().map(written).collect();
    job.validate()?;
    Ok(job)
}

/// `stonewall` starts a new stage and a new reporting group; `new_group` only the latter.
fn number(job: &mut Job, before: Option<&Job>) {
    let Some(before) = before else { return };
    job.stage = before.stage + u32::from(job.stonewall);
    job.group = before.group + u32::from(job.stonewall || job.new_group);
}

fn written(setting: &Setting<'_>) -> (String, String) {
    (setting.key.to_owned(), setting.value.unwrap_or("1").to_owned())
}
