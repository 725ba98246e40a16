//! Running a program for a bounded time.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// No program of the tests needs longer, on a loaded machine with two cores.
const LIMIT: Duration = Duration::from_secs(120);

/// Environment variables for one run.
#[derive(Clone, Debug, Default)]
pub struct Setting(Vec<(OsString, OsString)>);

impl Setting {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What a variable is set to, if it is.
    pub fn value(&self, name: &str) -> Option<OsString> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    /// Both settings.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Gives `command` this environment, and no other variable that concerns the library or the loader.
    pub(crate) fn apply(&self, command: &mut Command) {
        const OURS: [&str; 5] =
            ["EVENKEEL_PROFILE", "EVENKEEL_LOG", "EVENKEEL_REQUIRE", "EVENKEEL_STATS", "EVENKEEL_MUTANT"];
        for name in ["LD_PRELOAD", "GGML_BACKEND_PATH"].iter().chain(&OURS) {
            command.env_remove(name);
        }
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
    }
}

/// What a program that ended left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Checks that it ended well.
    ///
    /// # Panics
    /// When it did not; the message has its standard error.
    #[must_use]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{}\n{}", self.status, self.stderr);
        self
    }
}

/// Runs a program to its end. Its output goes through files in `folder`.
///
/// # Panics
/// When it cannot be started or does not end in time.
pub fn run(mut command: Command, setting: &Setting, folder: &Path) -> Finished {
    setting.apply(&mut command);
    let scratch = tempfile::tempdir_in(folder).expect("a folder for the output");
    let [out, err] = ["stdout", "stderr"].map(|name| scratch.path().join(name));
    let file = |path| File::create(path).expect("a file for the output");
    let child = command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).spawn();
    let mut child = Guard(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let text = |path| String::from_utf8_lossy(&fs::read(path).expect("the output is there")).into_owned();
    let Some(status) = child.wait(LIMIT) else { panic!("{command:?} did not end in time\n{}", text(&err)) };
    Finished { status, stdout: text(&out), stderr: text(&err) }
}

/// A child process that never outlives its test.
pub(crate) struct Guard(pub Child);

impl Guard {
    /// Waits for its end, at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child can be waited for") {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
