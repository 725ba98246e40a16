//! llama-server: the one that xllamacpp embeds, and the program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::cache::source;
use crate::completion::{Request, Step, steps};
use crate::run::Guard;
use crate::{Cache, Scratch, Setting};

/// A server that does not answer after this never will.
const START: Duration = Duration::from_secs(60);

/// Which build of llama-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// The one inside the Python package xllamacpp: everything in one library.
    Xllamacpp,
    /// The program, on shared libraries, backends loaded at run time.
    Program,
    /// The same with ggml's RPC backend beside it.
    ProgramRpc,
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Arguments {
    model: PathBuf,
    parallel: u32,
    draft: Option<PathBuf>,
    vision: Option<PathBuf>,
    exact: bool,
    extra: Vec<String>,
}

/// A running server.
pub struct Server {
    address: String,
    agent: Agent,
    stderr: PathBuf,
    process: Guard,
    _folder: Scratch,
}

impl Arguments {
    /// One slot.
    pub fn new(model: &Path) -> Self {
        Self { model: model.to_owned(), parallel: 1, draft: None, vision: None, exact: false, extra: Vec::new() }
    }

    /// Several slots.
    #[must_use]
    pub fn parallel(mut self, slots: u32) -> Self {
        self.parallel = slots;
        self
    }

    /// A draft model for speculative decoding.
    #[must_use]
    pub fn draft(mut self, model: &Path) -> Self {
        self.draft = Some(model.to_owned());
        self
    }

    /// A vision encoder.
    #[must_use]
    pub fn vision(mut self, encoder: &Path) -> Self {
        self.vision = Some(encoder.to_owned());
        self
    }

    /// As little rounding as a server has to offer, so that what differs differs for a reason: keys and values in F32, and no
    /// flash attention, whose sums depend on where cells lie.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    /// An argument in the server's own language.
    #[must_use]
    pub fn extra(mut self, argument: impl Into<String>) -> Self {
        self.extra.push(argument.into());
        self
    }

    fn command(&self, kind: ServerKind) -> Command {
        match kind {
            ServerKind::Xllamacpp => self.python(),
            ServerKind::Program => self.program("llama-server"),
            ServerKind::ProgramRpc => self.program("rpc"),
        }
    }

    fn python(&self) -> Command {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", Cache::locate().fetched("python")).arg(source("python/server.py"));
        command.arg(format!("model.path={}", self.model.display()));
        let slots = format!("n_parallel={}", self.parallel);
        let context = format!("n_ctx={}", 512 * self.parallel);
        let fields = [&slots, &context, "kv_unified=true", "cpuparams.n_threads=1", "cpuparams_batch.n_threads=1"];
        command.args(fields);
        if let Some(draft) = &self.draft {
            command.arg(format!("speculative.draft.mparams.path={}", draft.display()));
            // "draft-simple": by default this build loads the model and drafts nothing.
            command.arg("speculative.types=1");
        }
        if let Some(encoder) = &self.vision {
            command.arg(format!("mmproj.path={}", encoder.display()));
        }
        if self.exact {
            command.args(["cache_type_k=0", "cache_type_v=0", "flash_attn_type=0"]);
        }
        command.args(&self.extra);
        command
    }

    fn program(&self, build: &str) -> Command {
        let mut command = Command::new(Cache::locate().built(&format!("{build}/bin/llama-server")));
        command.arg("--model").arg(&self.model);
        command.args(["--host", "127.0.0.1", "--port", "0", "--no-warmup", "--threads", "1", "--no-webui"]);
        command.args(["--parallel", &self.parallel.to_string(), "--kv-unified"]);
        command.args(["--ctx-size", &(512 * self.parallel).to_string()]);
        if let Some(draft) = &self.draft {
            command.arg("--model-draft").arg(draft).args(["--spec-type", "draft-simple"]);
        }
        if let Some(encoder) = &self.vision {
            command.arg("--mmproj").arg(encoder);
        }
        if self.exact {
            command.args(["--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"]);
        }
        command.args(&self.extra);
        command
    }
}

impl Server {
    /// Starts a server and waits until it can answer.
    ///
    /// # Panics
    /// When it ends or does not answer in time; the message has its log.
    pub fn start(kind: ServerKind, arguments: &Arguments, setting: &Setting) -> Self {
        Self::try_start(kind, arguments, setting).unwrap_or_else(|log| panic!("the server did not start\n{log}"))
    }

    /// Where it listens: `http://` and what follows.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same, for servers that are meant to refuse.
    ///
    /// # Errors
    /// The server's log when it ends instead of answering.
    ///
    /// # Panics
    /// When it does neither in time.
    pub fn try_start(kind: ServerKind, arguments: &Arguments, setting: &Setting) -> Result<Self, String> {
        let folder = Scratch::new();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.path(name));
        let file = |path| File::create(path).expect("a file for the log");
        let mut command = arguments.command(kind);
        setting.apply(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(file(&stdout)).stderr(file(&stderr)).spawn();
        let mut process = Guard(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));

        let log = |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("a log")).into_owned();
        let agent: Agent = Agent::config_builder().timeout_global(Some(START)).build().into();
        let deadline = Instant::now() + START;
        loop {
            let text = log(&stdout) + &log(&stderr);
            if let Some(address) = address(&text)
                && agent.get(format!("{address}/health")).call().is_ok()
            {
                return Ok(Self { address, agent, stderr, process, _folder: folder });
            }
            if process.wait(Duration::from_millis(20)).is_some() {
                return Err(log(&stderr));
            }
            assert!(Instant::now() < deadline, "the server does not answer\n{text}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Sends a completion request.
    ///
    /// # Panics
    /// When the server refuses it or answers without probabilities.
    pub fn complete(&self, request: &Request) -> Vec<Step> {
        steps(&self.post("/completion", request.body()).unwrap_or_else(|error| panic!("{error}\n{}", self.log())))
    }

    /// Sends any request.
    ///
    /// # Errors
    /// What the client says of an answer that is no success.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.agent.post(format!("{}{path}", self.address)).send_json(body);
        answer.and_then(|mut answer| answer.body_mut().read_json()).map_err(|error| error.to_string())
    }

    /// Memory that its process holds, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident_memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.process.0.id());
        let text = fs::read_to_string(path).expect("the server runs");
        let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number of pages");
        pages * 4096
    }

    /// Its standard error so far.
    ///
    /// # Panics
    /// When the file is gone.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).expect("a log")).into_owned()
    }
}

/// The address in a server's log: a port chosen by the system.
fn address(log: &str) -> Option<String> {
    let start = log.find("http://127.0.0.1:")?;
    let rest = &log[start..];
    let port: String = rest["http://127.0.0.1:".len()..].chars().take_while(char::is_ascii_digit).collect();
    // A line still being written has no end.
    (rest.contains('\n') && port != "0" && !port.is_empty()).then(|| format!("http://127.0.0.1:{port}"))
}
