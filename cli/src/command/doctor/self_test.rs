//! The plug-in's proof of a library's layout, in a child process: a library that crashes takes only the child with it.

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use evenkeel_ffi::{host::Llama, selftest, supported};
use serde::{Deserialize, Serialize};

use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
};

/// What the child found out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SelfTest {
    /// What `llama_version` and `ggml_version` say.
    pub versions: Option<(String, String)>,
    /// The generation of llama.cpp, if it is one that evenkeel is tested with.
    pub generation: Option<String>,
    /// Compute devices.
    pub devices: Vec<String>,
    /// The toy graph was computed as well, and not only laid out.
    pub computed: bool,
    /// Why the test failed.
    pub error: Option<String>,
}

/// Runs the self-test of `library` in a child process.
pub fn in_child(library: &Path) -> SelfTest {
    let run = || -> std::io::Result<SelfTest> {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--json", "self-test"]).arg(library).stderr(Stdio::null()).stdin(Stdio::null());
        ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE"].iter().for_each(|v| {
            child.env_remove(v);
        });
        let output = child.output()?;
        if let Some(signal) = output.status.signal() {
            return Ok(failed(format!("the library crashed when it was tried (signal {signal})")));
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| failed("the child process gave no answer".into())))
    };
    run().unwrap_or_else(|e| failed(format!("the child process could not be started: {e}")))
}

fn failed(error: String) -> SelfTest {
    SelfTest { error: Some(error), ..SelfTest::default() }
}

/// The child's side.
pub fn main(args: &args::SelfTest) -> Outcome {
    let result = test(&args.library);
    let verdict = if result.error.is_none() { Verdict::Good } else { Verdict::Bad };
    screen::json(&result);
    Ok(verdict)
}

fn test(path: &Path) -> SelfTest {
    // Opening also loads backends, so that the toy graph can be computed.
    let opened = Llama::open(path);
    let library = match &opened {
        Ok(llama) => Ok(llama.tables()),
        Err(error) => Err(Failure::new(error).to_string()),
    };
    let library = match library {
        Ok(library) => library,
        Err(error) => return failed(error),
    };
    let mut result = SelfTest {
        versions: Some((library.llama_version(), library.ggml_version())),
        generation: supported::generation(library).map(|g| g.name.to_owned()),
        devices: opened.as_ref().map(Llama::devices).unwrap_or_default(),
        ..SelfTest::default()
    };
    match selftest::run(library) {
        Ok(facts) => result.computed = facts.computed,
        Err(error) => result.error = Some(error.to_string()),
    }
    result
}
