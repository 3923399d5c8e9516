//! Running real fio with the engine, with a limit on how long it may take.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than any run here takes, even on a busy or emulated machine.
const LIMIT: Duration = Duration::from_secs(120);

/// fio's name of the engine: built beside the tests.
pub(crate) fn engine() -> String {
    let test = std::env::current_exe().expect("a test has a path");
    let library = test.parent().expect("target/PROFILE/deps").join("libinitiator_fio.so");
    assert!(library.exists(), "{} is not there", library.display());
    format!("external:{}", library.display())
}

/// fio with one job, whose options are separated by blanks, in a directory of its own.
pub(crate) fn fio(job: &str) -> Ran {
    let directory = tempfile::tempdir().expect("a place for fio's files");
    let mut command = Command::new("fio");
    command.current_dir(directory.path()).arg(format!("--ioengine={}", engine()));
    command.args(["--output-format=json+,normal", "--name=job", "--thread=1"]);
    command.args(job.split_whitespace());
    run(&mut command)
}

/// The sample job file, in a directory, for this engine and a server.
pub(crate) fn sample(directory: &Path, url: &str) -> PathBuf {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/verify.fio");
    let text = std::fs::read_to_string(sample).expect("the sample is there");
    let engine = engine().replace("external:", "");
    let job = directory.join("job.fio");
    let text = text.replace("@ENGINE@", &engine).replace("@URL@", url);
    std::fs::write(&job, text).expect("it can be written");
    job
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let shown = format!("{command:?}");
    let child = start(command);
    finish(child, &shown)
}

/// Starts a command whose output is kept.
pub(crate) fn start(command: &mut Command) -> Child {
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Waits for its end. One that does not end in time is killed, and the test fails.
pub(crate) fn finish(child: Child, shown: &str) -> Ran {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let waiter = thread::spawn(move || child.wait_with_output());
    let began = Instant::now();
    while !waiter.is_finished() {
        if began.elapsed() > LIMIT {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            panic!("{shown} did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = waiter.join().expect("no panic").expect("its output can be read");
    Ran { shown: shown.to_owned(), output }
}

/// A run that has ended.
pub(crate) struct Ran {
    shown: String,
    output: Output,
}

impl Ran {
    /// All that it said.
    pub(crate) fn text(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&self.output.stdout) + &text(&self.output.stderr)
    }

    /// It went well.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.output.status.success(), "{}\n{}", self.shown, self.text());
        self
    }

    /// It failed in order, not by a signal, and said all this.
    #[track_caller]
    pub(crate) fn fails(self, says: &[&str]) -> Self {
        let text = self.text();
        let code = self.output.status.code();
        assert!(code.is_some_and(|code| code != 0), "{}: {code:?}\n{text}", self.shown);
        for sentence in says {
            assert!(text.contains(sentence), "{sentence:?} is not in\n{text}");
        }
        assert!(!text.contains("panicked"), "{text}");
        self
    }

    /// fio's JSON report of its jobs.
    #[track_caller]
    pub(crate) fn jobs(&self) -> Vec<serde_json::Value> {
        let out = String::from_utf8_lossy(&self.output.stdout).into_owned();
        let (start, end) = (out.find("\n{").map(|at| at + 1), out.rfind("\n}"));
        let json =
            start.or(out.starts_with('{').then_some(0)).zip(end).map(|(s, e)| &out[s..e + 2]);
        let json = json.unwrap_or_else(|| panic!("no JSON in {out}"));
        let report: serde_json::Value =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        report["jobs"].as_array().expect("jobs").clone()
    }
}
