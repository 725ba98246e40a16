//! llama-cpp-python, with evenkeel's own Python package, and with its OpenAI-compatible server.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use evenkeel_model::ControlVector;
use serde_json::{Value, json};
use ureq::Agent;

use crate::cache::source;
use crate::run::Guard;
use crate::{Cache, Finished, Recording, Scratch, Setting, library, run};

/// A server that does not answer after this never will.
const START: Duration = Duration::from_secs(60);

/// Python with llama-cpp-python, on the libraries of llama-server.
pub struct Python {
    packages: Scratch,
}

impl Python {
    /// Installs evenkeel's wheel, with the library under test in it, into a new folder.
    ///
    /// # Panics
    /// When it cannot be built or installed.
    pub fn with_wheel() -> Self {
        let packages = Scratch::new();
        let wheels = packages.path("wheels");
        let mut build = Command::new(source("../../bindings/python/build"));
        build.arg(library()).arg(&wheels);
        let _ = run(build, &Setting::new(), packages.folder()).success();
        let wheel = fs::read_dir(&wheels).expect("a folder").next().expect("a wheel").expect("an entry").path();
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
        install.args(["--no-deps", "--no-index", "--target"]).arg(packages.path("site")).arg(wheel);
        let _ = run(install, &Setting::new(), packages.folder()).success();
        Self { packages }
    }

    /// Where the package's library is.
    ///
    /// # Panics
    /// When it does not say.
    pub fn library(&self) -> PathBuf {
        let mut command = self.python();
        command.args(["-m", "evenkeel"]);
        run(command, &Setting::new(), self.packages.folder()).success().stdout.trim_end().into()
    }

    /// What the C host evaluates by default; `rest` as in `hosts/python/llama_cpp_host.py`.
    ///
    /// # Panics
    /// When it ends well without a recording.
    pub fn try_run(&self, model: &Path, rest: &[&str]) -> (Finished, Option<Recording>) {
        let out = self.packages.path("logits");
        let mut command = self.python();
        command.arg(source("python/llama_cpp_host.py")).arg(model).arg(&out).args(["24", "6"]).args(rest);
        let finished = run(command, &Setting::new(), self.packages.folder());
        let recording = finished.status.success().then(|| fs::read_to_string(&out).expect("a recording"));
        (finished, recording.map(|text| Recording::parse(&text)))
    }

    fn python(&self) -> Command {
        let cache = Cache::locate();
        let libraries = cache.built("llama-server/bin");
        let paths = [cache.built("llama-cpp-python"), self.packages.path("site")];
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", std::env::join_paths(paths).expect("paths without colons"));
        // A build with backends of its own looks for them where the program runs.
        command.env("LLAMA_CPP_LIB_PATH", &libraries).current_dir(&libraries);
        command.env_remove("EVENKEEL_PLUGIN");
        command
    }

    /// The answer of `python -m llama_cpp.server` to a completion request: the text, and the log-probabilities.
    ///
    /// # Panics
    /// When it does not start or answer.
    pub fn complete(&self, model: &Path, prompt: &str, setting: &Setting) -> (String, Value) {
        let mut command = self.python();
        command.args(["-m", "llama_cpp.server"]);
        self.answer(command, model, prompt, setting)
    }

    /// The same server's with llama.cpp's own control vector.
    ///
    /// # Panics
    /// As above.
    pub fn complete_natively(&self, model: &Path, prompt: &str, vector: &ControlVector) -> (String, Value) {
        let file = self.packages.path("native.f32");
        let bytes: Vec<u8> = vector.directions.values().flatten().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&file, bytes).expect("a vector is written");
        let mut command = self.python();
        command.arg(source("python/native_server.py")).env("NATIVE_VECTOR", file);
        self.answer(command, model, prompt, &Setting::new())
    }

    fn answer(&self, mut command: Command, model: &Path, prompt: &str, setting: &Setting) -> (String, Value) {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--model"]).arg(model);
        command.args(["--n_ctx", "512", "--logits_all", "true", "--n_threads", "1", "--n_threads_batch", "1"]);
        let log = self.packages.path("server");
        let file = || File::create(&log).expect("a file for the log");
        setting.apply(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file()).spawn();
        let mut process = Guard(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let text = || fs::read_to_string(&log).unwrap_or_default();
        let agent: Agent = Agent::config_builder().timeout_global(Some(START)).build().into();
        let address = format!("http://127.0.0.1:{port}/v1");
        let deadline = Instant::now() + START;
        while agent.get(format!("{address}/models")).call().is_err() {
            assert!(process.wait(Duration::from_millis(50)).is_none(), "the server ended\n{}", text());
            assert!(Instant::now() < deadline, "the server does not answer\n{}", text());
            sleep(Duration::from_millis(50));
        }
        let body = json!({ "prompt": prompt, "max_tokens": 8, "temperature": 0.0, "logprobs": 5, "seed": 1 });
        let answer = agent.post(format!("{address}/completions")).send_json(body);
        let answer: Value =
            answer.and_then(|mut a| a.body_mut().read_json()).unwrap_or_else(|e| panic!("{e}\n{}", text()));
        let choice = &answer["choices"][0];
        (choice["text"].as_str().expect("a text").to_owned(), choice["logprobs"].clone())
    }
}
