//! Options of jobs on the command line of `run`, as fio takes them: `--name=j --rw=read`.
//!
//! They are fio's, not clap's: a table of their own says what they are. What is in it and is no flag
//! of `run` itself is taken out before clap looks.

use std::ffi::OsString;

use clap::CommandFactory;
use workload::Argument;

use crate::Usage;
use crate::cli::Cli;

/// fio's own flags that are left to it.
const LEFT_TO_FIO: [&str; 3] = ["client", "server", "daemonize"];

/// What clap is to read, and what it is not.
pub(crate) fn split(
    all: impl Iterator<Item = OsString>,
) -> Result<(Vec<OsString>, Vec<Argument>), Usage> {
    let mut all = all.peekable();
    let (mut rest, mut arguments) = (Vec::new(), Vec::new());
    rest.extend(all.next());
    while all.peek().is_some_and(|arg| arg.to_str().is_some_and(|arg| arg.starts_with('-'))) {
        rest.extend(all.next());
    }
    if all.peek().is_none_or(|command| command != "run") {
        rest.extend(all);
        return Ok((rest, arguments));
    }
    let own = own_flags();
    while let Some(arg) = all.next() {
        let text = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        let (key, value) = match text.map(|text| text.split_once('=')) {
            Some(Some((key, value))) => (key.to_owned(), Some(value.to_owned())),
            _ => (text.unwrap_or("").to_owned(), None),
        };
        if LEFT_TO_FIO.contains(&key.as_str()) {
            return Err(Usage(format!(
                "--{key} is left to fio itself: run fio with tools/fio-engine, which drives this client"
            )));
        }
        let option = workload::option(&key).filter(|_| !own.contains(&key));
        let Some(option) = option else {
            rest.push(arg);
            continue;
        };
        // `--name j` is `--name=j`.
        let next = all.peek().and_then(|next| next.to_str()).filter(|next| !next.starts_with("--"));
        let value = match (value, next.map(str::to_owned)) {
            (None, Some(next)) if !option.value.is_empty() => {
                all.next();
                Some(next)
            }
            (value, _) => value,
        };
        arguments.push(Argument { option: key, value });
    }
    Ok((rest, arguments))
}

/// Long flags of `run`.
fn own_flags() -> Vec<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run");
    let flags = run.into_iter().flat_map(|run| run.get_arguments());
    let longs = flags.filter_map(|flag| flag.get_long());
    longs.chain(["help", "version", "verbose"]).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    fn parts(line: &str) -> (Vec<String>, Vec<String>) {
        let words = line.split(' ').map(std::ffi::OsString::from);
        let (rest, arguments) = split(words).expect("nothing that is fio's own");
        let shown = |a: workload::Argument| format!("{}={}", a.option, a.value.unwrap_or_default());
        let rest = rest.into_iter().map(|word| word.to_string_lossy().into_owned());
        (rest.collect(), arguments.into_iter().map(shown).collect())
    }

    #[test]
    fn options_of_jobs_are_taken_out_and_flags_of_run_are_not() {
        let (rest, jobs) = parts(
            "initiator run --embedded --name=j --rw randread --thread --output x --size=1m a.fio",
        );
        assert_eq!(rest, ["initiator", "run", "--embedded", "--output", "x", "a.fio"]);
        assert_eq!(jobs, ["name=j", "rw=randread", "thread=", "size=1m"]);
        let (rest, jobs) = parts("initiator perf --size 1m");
        assert_eq!((rest.len(), jobs.len()), (4, 0), "perf's flags are its own");
    }

    #[test]
    fn fios_client_and_server_are_refused_by_name() {
        let words = "initiator run --client=host a.fio".split(' ').map(Into::into);
        let error = split(words).expect_err("it is fio's");
        assert!(error.0.starts_with("--client is left to fio itself"), "{}", error.0);
    }
}
