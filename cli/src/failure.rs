//! How a command ends when it cannot do its work: what, what was found, what to do.

use std::{fmt, process::ExitCode};

use evenkeel_ffi::host::{HostError, PluginError};

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    what: String,
    todo: Option<String>,
    code: u8,
}

/// What commands give back: whether what they checked is as it should be.
pub type Outcome = Result<Verdict, Failure>;

/// The answer of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it should be.
    Good,
    /// The command worked, and what it checked is not.
    Bad,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        ExitCode::from(u8::from(verdict == Verdict::Bad))
    }
}

impl Failure {
    /// Something failed: exit code 1.
    pub fn new(what: impl fmt::Display) -> Failure {
        Failure { what: what.to_string(), todo: None, code: 1 }
    }

    /// The command was not used as it can be: exit code 2.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure { code: 2, ..Failure::new(what) }
    }

    /// With what to do about it.
    pub fn todo(mut self, todo: impl fmt::Display) -> Failure {
        self.todo = Some(todo.to_string());
        self
    }

    /// Says where it happened.
    pub fn within(mut self, place: &str) -> Failure {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.todo.iter().try_for_each(|todo| write!(f, "\n  {todo}"))
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Failure {
        let failure = Failure::new(&error);
        match error {
            HostError::Library(_) | HostError::Missing { .. } | HostError::Layout { .. } => failure.todo(
                "this llama.cpp is older or newer than evenkeel supports (0.5 and 0.6); `evenkeel doctor` tells more",
            ),
            HostError::NotLlama { .. } => {
                failure.todo("--llama takes a libllama.so, a folder that holds one, or a program that uses one")
            }
            HostError::NoDevice { .. } => failure.todo("keep llama.cpp's libraries together in one folder"),
            _ => failure,
        }
    }
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Failure {
        let failure = Failure::new(&error);
        match error {
            PluginError::Load(_) | PluginError::Missing { .. } => {
                failure.todo("build it with `cargo build --release -p evenkeel`, or name it with --plugin FILE")
            }
            _ => failure,
        }
    }
}
