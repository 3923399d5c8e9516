//! Options of jobs on the command line of `run` and `perf`, as fio takes them: `--name=j --rw=read`.
//!
//! They are fio's, not clap's: a table of their own says what they are. What is in it and is no flag
//! of the command itself is taken out before clap looks.

use std::ffi::OsString;

use clap::CommandFactory;
use workload::Argument;

use crate::Usage;
use crate::cli::Cli;

/// Flags of fio itself that are refused by name, and what to do instead.
const NOT_OURS: [(&str, &str); 22] = [
    ("client", LEFT_TO_FIO),
    ("server", LEFT_TO_FIO),
    ("remote-config", LEFT_TO_FIO),
    ("daemonize", LEFT_TO_FIO),
    ("trigger", LEFT_TO_FIO),
    ("trigger-file", LEFT_TO_FIO),
    ("trigger-timeout", LEFT_TO_FIO),
    ("trigger-remote", LEFT_TO_FIO),
    ("idle-prof", "the report says how busy each reactor was"),
    ("eta", "there is a progress line, on terminals only"),
    ("eta-interval", "there is a progress line, on terminals only"),
    ("eta-newline", "use --status-interval"),
    ("bandwidth-log", "use --write_bw_log=PREFIX"),
    ("latency-log", "use --write_lat_log=PREFIX"),
    ("append-terse", "use --minimal"),
    ("terse-version", "--minimal is version 3"),
    ("max-jobs", "there may be 1024 jobs"),
    ("alloc-size", "memory for jobs is not limited"),
    ("aux-path", "files are written to the present directory"),
    ("debug", "use -v, or RUST_LOG"),
    ("readonly", "a job that reads only says so: rw=read or rw=randread"),
    ("warnings-fatal", "there are no warnings about jobs: what is wrong is an error"),
];
const LEFT_TO_FIO: &str =
    "it is left to fio itself: run fio with tools/fio-engine, which drives this client";

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
    let command = all.peek().and_then(|command| command.to_str());
    let Some(command) = command.filter(|command| ["run", "perf"].contains(command)) else {
        rest.extend(all);
        return Ok((rest, arguments));
    };
    let own = own_flags(command);
    while let Some(arg) = all.next() {
        let text = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        let (key, value) = match text.map(|text| text.split_once('=')) {
            Some(Some((key, value))) => (key.to_owned(), Some(value.to_owned())),
            _ => (text.unwrap_or("").to_owned(), None),
        };
        if let Some((name, instead)) = NOT_OURS.iter().find(|(name, _)| *name == key) {
            return Err(Usage(format!("--{name} is not supported: {instead}")));
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

/// Long flags of a command.
fn own_flags(name: &str) -> Vec<String> {
    let all = Cli::command();
    let command = all.find_subcommand(name);
    let flags = command.into_iter().flat_map(|command| command.get_arguments());
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
        let (rest, jobs) =
            parts("initiator perf --size 1m --rate_process=poisson -q 4 --rate_iops 9");
        assert_eq!(
            rest,
            ["initiator", "perf", "--size", "1m", "-q", "4"],
            "perf's flags are its own"
        );
        assert_eq!(jobs, ["rate_process=poisson", "rate_iops=9"]);
        let (rest, jobs) = parts("initiator target --name=x");
        assert_eq!((rest.len(), jobs.len()), (3, 0));
    }

    #[test]
    fn fios_client_and_server_are_refused_by_name() {
        let words = "initiator run --client=host a.fio".split(' ').map(Into::into);
        let error = split(words).expect_err("it is fio's");
        assert!(error.0.starts_with("--client is not supported: it is left to fio"), "{}", error.0);
        let words = "initiator run --eta never a.fio".split(' ').map(Into::into);
        let error = split(words).expect_err("it is fio's");
        assert!(error.0.starts_with("--eta is not supported: there is a progress line"));
    }
}
