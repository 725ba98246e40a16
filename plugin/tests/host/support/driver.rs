//! One run of the driver.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Profile, driver, host, library};

/// How the library gets into the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Not at all.
    Closed,
    /// `LD_PRELOAD`, in a program that is linked with the host.
    Preload,
    /// `LD_PRELOAD`, in a program that opens the host with `RTLD_LOCAL`.
    PreloadLocal,
    /// `ek_install`, in a program that opens both with `RTLD_LOCAL`.
    Install,
    /// `ek_install`, and the library is closed again at once.
    InstallAndClose,
    /// As ggml does with `GGML_BACKEND_PATH`: `ggml_backend_score`, then the library is closed.
    BackendPath,
}

impl Door {
    /// Every door that lets it in.
    pub const OPEN: [Door; 5] =
        [Door::Preload, Door::PreloadLocal, Door::Install, Door::InstallAndClose, Door::BackendPath];
}

/// A run of the driver that is being prepared.
pub struct Driver {
    command: Command,
}

impl Driver {
    /// The scenario in the ordinary null host.
    pub fn new(door: Door, scenario: &str) -> Driver {
        Driver::of_variant(door, scenario, &[])
    }

    /// The scenario in a null host that was compiled with these flags.
    pub fn of_variant(door: Door, scenario: &str, variant: &[&str]) -> Driver {
        Driver::with_library(door, scenario, variant, &library())
    }

    /// The same with another build of the library.
    pub fn with_library(door: Door, scenario: &str, variant: &[&str], library: &Path) -> Driver {
        let host = host(variant);
        let linked = door == Door::Preload;
        let mut command = Command::new(driver(linked));
        for name in ["EVENKEEL_PROFILE", "EVENKEEL_LOG", "EVENKEEL_REQUIRE", "EVENKEEL_INJECT_PANIC", "LD_PRELOAD"] {
            command.env_remove(name);
        }
        command.arg(scenario).env("NULL_HOST", &host).env("PLUGIN", library);
        match door {
            Door::Closed => {}
            Door::Preload | Door::PreloadLocal => {
                command.env("LD_PRELOAD", library).env("LD_LIBRARY_PATH", host.parent().expect("a file has a folder"));
            }
            Door::Install => {
                command.arg("door=1");
            }
            Door::BackendPath => {
                command.arg("door=2");
            }
            Door::InstallAndClose => {
                command.arg("door=3");
            }
        }
        Driver { command }
    }

    /// The scenario in words (`tests/driver/script.cpp`), under these profiles.
    pub fn script(door: Door, profile: &Profile, script: &str) -> Driver {
        Driver::new(door, "script").within(profile, script)
    }

    /// Adds profiles, and the words of a script.
    pub fn within(self, profile: &Profile, script: &str) -> Driver {
        self.env("EVENKEEL_PROFILE", profile.path()).env("FOLDER", profile.home()).env("SCRIPT", script)
    }

    /// Adds `KEY=VALUE`.
    pub fn arg(mut self, argument: &str) -> Driver {
        self.command.arg(argument);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Driver {
        self.command.env(name, value);
        self
    }

    /// The command, for tests that run it inside another program.
    pub fn command(self) -> Command {
        self.command
    }

    /// Runs it. The driver must end by itself and with 0.
    pub fn run(mut self) -> Ran {
        let output = self.command.stdin(Stdio::null()).output().expect("the driver starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran { stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(output.status.success(), "{:?} ended with {}:\n{ran}", self.command, output.status);
        ran
    }
}

/// What a run printed.
pub struct Ran {
    /// The driver and the null host.
    pub stdout: String,
    /// The library.
    pub stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-- stdout\n{}-- stderr\n{}", self.stdout, self.stderr)
    }
}

impl Ran {
    /// What `ek_stats_json` said at the end.
    pub fn stats(&self) -> Value {
        let line = self.stdout.lines().rev().find_map(|l| l.strip_prefix("stats "));
        let json = line.unwrap_or_else(|| panic!("no stats were printed\n{self}"));
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{e} in {json}"))
    }

    /// The logits of every evaluation that gave some, in order.
    pub fn logits(&self) -> Vec<[f32; 4]> {
        let parse = |line: &str| -> Option<[f32; 4]> {
            let numbers = line.strip_prefix("decode ")?.split_once(", logits ")?.1;
            let numbers: Vec<f32> = numbers.split(' ').map(|n| n.parse().expect("a number")).collect();
            numbers.try_into().ok()
        };
        self.stdout.lines().filter_map(parse).collect()
    }

    /// Fails unless the script printed exactly this, the stats at the end apart.
    pub fn told(&self, expected: &str) -> &Ran {
        let lines = |text: &str| -> Vec<String> { text.lines().map(|l| l.trim().to_owned()).collect() };
        let mut found = lines(&self.stdout);
        found.retain(|l| !l.starts_with("stats ") && !l.starts_with("install: "));
        let mut expected = lines(expected);
        expected.retain(|l| !l.is_empty());
        assert!(found == expected, "-- expected\n{}\n{self}", expected.join("\n"));
        self
    }

    /// How often the library said `text`.
    pub fn times(&self, text: &str) -> usize {
        self.stderr.matches(text).count()
    }

    /// Fails unless the library said `text`.
    pub fn said(&self, text: &str) -> &Ran {
        assert!(self.stderr.contains(text), "`{text}` was not said:\n{self}");
        self
    }

    /// Fails unless the driver or the null host printed `text`.
    pub fn printed(&self, text: &str) -> &Ran {
        assert!(self.stdout.contains(text), "`{text}` was not printed:\n{self}");
        self
    }

    /// Fails unless the library was silent.
    pub fn silent(&self) -> &Ran {
        assert!(self.stderr.is_empty(), "something was said:\n{self}");
        self
    }
}
