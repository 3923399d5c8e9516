//! Lines to jobs: sections, inheritance from `[global]`, groups and stages.

use super::lexer::{Line, Token, lex};
use super::options;
use super::{INSTANCES_MAX, JOB_FILE_BYTES_MAX, JOBS_MAX, JobFile};
use crate::error::{JobError, Place};
use crate::job::Job;
use std::sync::Arc;

/// Most options in [global]: every job applies them all.
const GLOBALS_MAX: usize = 256;
/// Files that include each other.
const INCLUDE_DEPTH_MAX: u32 = 8;

/// Gets the bytes of a file that is included.
type Include<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// `--option=value` of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The option's name, without dashes.
    pub option: String,
    /// Its value, if it has one.
    pub value: Option<String>,
}

/// An option as written.
#[derive(Clone)]
struct Setting {
    place: Place,
    key: String,
    value: Option<String>,
}

struct Section {
    name: String,
    place: Place,
    /// `[global]` as it stood when the section began, as in fio.
    inherited: usize,
    settings: Vec<Setting>,
}

#[derive(Default)]
struct Sections {
    globals: Vec<Setting>,
    sections: Vec<Section>,
    /// None before the first section, Some(true) inside [global].
    in_global: Option<bool>,
}

pub(super) fn parse(
    bytes: &[u8],
    file: &str,
    include: Include<'_>,
    wanted: &[String],
) -> Result<JobFile, JobError> {
    let file: Arc<str> = file.into();
    let mut lines = Vec::new();
    let mut budget = JOB_FILE_BYTES_MAX;
    gather(bytes, &file, include, 0, &mut budget, &mut lines)?;
    let mut all = Sections::default();
    for Line { place, token } in lines {
        match token {
            Token::Section(name) => all.section(name, place)?,
            Token::Option { key, value } => all.option(Setting { place, key, value })?,
            Token::Include(_) => {}
        }
    }
    let place = Place::Line { file, line: 1, column: 1 };
    if all.sections.is_empty() {
        let message = "no job in the file; a job is a section such as [job1]";
        return Err(JobError::new(place, message));
    }
    for name in wanted {
        if !all.sections.iter().any(|section| section.name == *name) {
            return Err(JobError::new(place, format!("no section [{name}] in the file")));
        }
    }
    if !wanted.is_empty() {
        all.sections.retain(|section| wanted.contains(&section.name));
    }
    all.jobs()
}

pub(super) fn from_arguments(arguments: &[Argument]) -> Result<JobFile, JobError> {
    let mut all = Sections { in_global: Some(true), ..Sections::default() };
    for Argument { option, value } in arguments {
        let place = Place::Flag(format!("--{option}"));
        match (option.as_str(), value) {
            ("name", Some(name)) => all.section(name.clone(), place)?,
            _ => {
                let value = value.as_deref().map(super::variables::keywords).transpose();
                let value = value.map_err(|message| JobError::new(place.clone(), message))?;
                all.option(Setting { place, key: option.clone(), value })?;
            }
        }
    }
    if all.sections.is_empty() {
        let place = Place::Flag(format!("--{}", arguments.first().map_or("", |a| &a.option)));
        return Err(JobError::new(place, "no job: begin it with --name=NAME"));
    }
    all.jobs()
}

/// The lines of a file, those of files that it includes in their place.
fn gather(
    bytes: &[u8],
    file: &Arc<str>,
    include: Include<'_>,
    depth: u32,
    budget: &mut usize,
    lines: &mut Vec<Line>,
) -> Result<(), JobError> {
    for line in lex(bytes, file)? {
        let Token::Include(path) = &line.token else {
            lines.push(line);
            continue;
        };
        if depth == INCLUDE_DEPTH_MAX {
            let message = format!("more than {INCLUDE_DEPTH_MAX} files include each other");
            return Err(JobError::new(line.place, message));
        }
        let included = include(path).map_err(|m| JobError::new(line.place.clone(), m))?;
        *budget = budget.checked_sub(included.len()).ok_or_else(|| {
            let message = format!("included files have more than {JOB_FILE_BYTES_MAX} bytes");
            JobError::new(line.place.clone(), message)
        })?;
        gather(&included, &path.as_str().into(), include, depth + 1, budget, lines)?;
    }
    Ok(())
}

impl Sections {
    fn section(&mut self, name: String, place: Place) -> Result<(), JobError> {
        self.in_global = Some(name == "global");
        if name == "global" {
            return Ok(());
        }
        if self.sections.len() == JOBS_MAX {
            return Err(JobError::new(place, format!("more than {JOBS_MAX} jobs")));
        }
        let inherited = self.globals.len();
        self.sections.push(Section { name, place, inherited, settings: Vec::new() });
        Ok(())
    }

    fn option(&mut self, setting: Setting) -> Result<(), JobError> {
        match (self.in_global, self.sections.last_mut()) {
            (Some(true), _) if self.globals.len() == GLOBALS_MAX => {
                let message = format!("more than {GLOBALS_MAX} options in [global]");
                return Err(JobError::new(setting.place, message));
            }
            (Some(true), _) => self.globals.push(setting),
            (Some(false), Some(section)) => section.settings.push(setting),
            _ => {
                let message = format!("'{}' before any [section]", setting.key);
                return Err(JobError::new(setting.place, message));
            }
        }
        Ok(())
    }

    fn jobs(self) -> Result<JobFile, JobError> {
        let mut jobs: Vec<Job> = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            let mut job = build(section, &self.globals[..section.inherited])?;
            number(&mut job, jobs.last());
            check_wait_for(&job, &jobs)?;
            jobs.push(job);
        }
        check_instances(&jobs)?;
        let global_options = self.globals.iter().map(written).collect();
        Ok(JobFile { jobs, global_options })
    }
}

/// Only what was written before can be waited for, so that nothing waits in a circle.
fn check_wait_for(job: &Job, before: &[Job]) -> Result<(), JobError> {
    match &job.wait_for {
        Some(name) if !before.iter().any(|other| other.name == *name) => {
            Err(job.error("wait_for", format!("no job '{name}' is written above")))
        }
        _ => Ok(()),
    }
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

fn build(section: &Section, globals: &[Setting]) -> Result<Job, JobError> {
    let mut job = Job::named(&section.name);
    job.place = Some(section.place.clone());
    for Setting { place, key, value } in globals.iter().chain(&section.settings) {
        options::apply(&mut job, key, value.as_deref(), place.clone())?;
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

fn written(setting: &Setting) -> (String, String) {
    (setting.key.clone(), setting.value.clone().unwrap_or_else(|| "1".into()))
}
