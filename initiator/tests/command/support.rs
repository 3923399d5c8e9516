//! Running the binary, with a limit on how long it may take.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than any run here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The binary, not yet started. Reactors yield: tests share the cores.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initiator"));
    command.args(args).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary with arguments that are separated by blanks.
pub(crate) fn initiator(line: &str) -> Ran {
    run(command(line.split_whitespace()))
}

/// Runs it to its end.
pub(crate) fn run(mut command: Command) -> Ran {
    let shown = format!("{command:?}");
    let child = command.spawn().expect("the binary is there");
    finish(child, shown)
}

/// Waits for a run that was started. One that does not end in time is killed, and the test fails.
pub(crate) fn finish(child: Child, shown: String) -> Ran {
    let pid = child.id();
    let waiter = thread::spawn(move || child.wait_with_output());
    let began = Instant::now();
    while !waiter.is_finished() {
        if began.elapsed() > LIMIT {
            let pid = nix::unistd::Pid::from_raw(pid as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            panic!("{shown} did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = waiter.join().expect("no panic").expect("its output can be read");
    Ran { shown, output }
}

/// A run that has ended.
pub(crate) struct Ran {
    shown: String,
    output: Output,
}

impl Ran {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Its exit status.
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("{}: {}", self.shown, self.stderr()))
    }

    /// It ended with this status.
    #[track_caller]
    pub(crate) fn status(self, code: i32) -> Self {
        let Self { shown, output } = &self;
        let (out, err) = (self.stdout(), self.stderr());
        assert_eq!(output.status.code(), Some(code), "{shown}\nstdout: {out}\nstderr: {err}");
        self
    }

    /// It failed, and said why in one line that has all of `says` in it.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Self {
        let ran = self.status(code);
        let err = ran.stderr();
        let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("initiator: ")).collect();
        assert_eq!(lines.len(), 1, "one line, not {err}");
        for text in says {
            assert!(lines[0].contains(text), "{:?} is not in {:?}", text, lines[0]);
        }
        assert!(!err.contains("panicked"), "{err}");
        ran
    }

    /// Its JSON report.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let out = self.stdout();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

/// A file in a directory of its own, which goes with it.
pub(crate) struct TempFile {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl TempFile {
    pub(crate) fn new(name: &'static str, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a place for files");
        std::fs::write(directory.path().join(name), text).expect("it can be written");
        Self { directory, name }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }
}

/// A file of the repository.
pub(crate) fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf").join(name)
}
