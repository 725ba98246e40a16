//! A C program, compiled at test time, on llama.cpp's shared libraries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::libraries;
use crate::cache::source;
use crate::{Cache, Door, Finished, Recording, Scratch, Setting, run};

/// The C host, linked against one set of libraries.
pub struct CHost {
    program: PathBuf,
    /// For builds that load their backends at run time.
    backends: Option<PathBuf>,
    /// Keeps the program.
    _folder: Scratch,
}

/// llama.cpp's own control vector.
#[derive(Clone, Debug)]
pub struct Native {
    /// The file.
    pub file: PathBuf,
    /// Its factor.
    pub strength: f32,
    /// First and last layer, inclusive; all when absent.
    pub layers: Option<(u32, u32)>,
}

/// What the C host evaluates.
#[derive(Clone, Debug)]
pub struct Decode {
    /// The model file.
    pub model: PathBuf,
    /// Flash attention.
    pub flash: bool,
    /// Sequences, each with its own tokens, in the same batches.
    pub sequences: u32,
    /// Tokens of each sequence after the prompt.
    pub steps: u32,
    /// Batches that the prompt is fed in, with logits in the last only.
    pub parts: u32,
    /// Rows fed with each token after the prompt, half of which are taken back again.
    pub drafts: u32,
    /// Each sequence has cells of its own.
    pub separate: bool,
    /// Logits of the last prompt row only.
    pub last_only: bool,
    /// Rows of a micro-batch.
    pub ubatch: u32,
    /// Threads. One by default: more spin against each other on a busy machine.
    pub threads: u32,
    /// Layers on the accelerator.
    pub gpu_layers: u32,
    /// Contexts, one after the other.
    pub contexts: u32,
    /// RPC servers whose devices are used, too: addresses separated by commas.
    pub rpc: Option<String>,
    /// Count nodes (through llama.cpp's evaluation callback).
    pub count: bool,
    /// Write the residual streams (through the same callback; not together with `count`).
    pub capture: bool,
    /// Write where attention puts segments (through the same callback).
    pub shifts: bool,
    /// llama.cpp's own control vector.
    pub native: Option<Native>,
    /// What to feed, line by line, instead of a prompt of the program's own: see `hosts/c/script.c`.
    pub script: Option<String>,
    /// An F32 cache instead of an F16 one.
    pub wide_cache: bool,
    /// A cache of another type, by ggml's name for it.
    pub cache: Option<&'static str>,
    /// Profiles of sequences.
    pub choose: Vec<(u32, String)>,
    /// The profile of every sequence after the prompt.
    pub later: Option<String>,
    /// Tokens taken back after the prompt, and fed again.
    pub back: u32,
    /// The functions for that are looked up by hand in this library, as a foreign function interface does.
    pub hidden: Option<PathBuf>,
    /// Turns the strength of `rule-0` after the prompt, through the library's C interface: with [`Door::Embed`] only.
    pub turn: Option<f32>,
    /// An operation that devices are said to lack: with [`Door::Embed`] only.
    pub lacks: Option<&'static str>,
}

impl Decode {
    /// A prompt and a few more tokens, one sequence, all logits.
    pub fn new(model: &Path) -> Self {
        Self {
            model: model.to_owned(),
            flash: false,
            sequences: 1,
            steps: 6,
            parts: 1,
            drafts: 0,
            separate: false,
            last_only: false,
            ubatch: 512,
            threads: 1,
            gpu_layers: 0,
            contexts: 1,
            rpc: None,
            count: false,
            capture: false,
            shifts: false,
            native: None,
            script: None,
            wide_cache: false,
            cache: None,
            choose: Vec::new(),
            later: None,
            back: 0,
            hidden: None,
            turn: None,
            lacks: None,
        }
    }

    fn arguments(&self, out: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["--model".into(), self.model.clone().into(), "--out".into(), out.to_owned().into()];
        let numbers = [
            ("--flash", u32::from(self.flash)),
            ("--sequences", self.sequences),
            ("--decode", self.steps),
            ("--parts", self.parts),
            ("--drafts", self.drafts),
            ("--ubatch", self.ubatch),
            ("--threads", self.threads),
            ("--gpu-layers", self.gpu_layers),
            ("--contexts", self.contexts),
            ("--back", self.back),
        ];
        arguments.extend(numbers.into_iter().flat_map(|(name, value)| [name.into(), value.to_string().into()]));
        arguments.extend(self.separate.then(|| "--separate".into()));
        arguments.extend(self.last_only.then(|| "--last-only".into()));
        arguments.extend(self.count.then(|| "--count".into()));
        if let Some(script) = &self.script {
            let path = out.with_extension("script");
            fs::write(&path, script).expect("a script is written");
            arguments.extend(["--script".into(), path.into()]);
        }
        if let Some(cache) = self.cache.or(self.wide_cache.then_some("f32")) {
            arguments.extend(["--cache".into(), cache.into()]);
        }
        arguments.extend(self.capture.then(|| "--capture".into()));
        arguments.extend(self.shifts.then(|| "--shifts".into()));
        if !self.choose.is_empty() {
            let list: Vec<String> = self.choose.iter().map(|(sequence, name)| format!("{sequence}={name}")).collect();
            arguments.extend(["--choose".into(), list.join(",").into()]);
        }
        if let Some(later) = &self.later {
            arguments.extend(["--later".into(), later.into()]);
        }
        if let Some(hidden) = &self.hidden {
            arguments.extend(["--hidden".into(), hidden.clone().into()]);
        }
        if let Some(rpc) = &self.rpc {
            arguments.extend(["--rpc".into(), rpc.into()]);
        }
        if let Some(operation) = self.lacks {
            arguments.extend(["--lacks".into(), operation.into()]);
        }
        if let Some(strength) = self.turn {
            arguments.extend(["--turn".into(), strength.to_string().into()]);
        }
        if let Some(native) = &self.native {
            arguments.extend(["--vector".into(), native.file.clone().into()]);
            arguments.extend(["--strength".into(), native.strength.to_string().into()]);
            if let Some((first, last)) = native.layers {
                arguments.extend(["--first".into(), first.to_string().into()]);
                arguments.extend(["--last".into(), last.to_string().into()]);
            }
        }
        arguments
    }
}

impl CHost {
    /// llama.cpp's library that [`CHost::node_llama_cpp`] is linked with.
    ///
    /// # Panics
    /// When it is not fetched.
    pub fn library_of_node_llama_cpp() -> PathBuf {
        libraries::find(&libraries::node_llama_cpp(), "llama")
    }

    /// On the libraries that the npm package `@node-llama-cpp/linux-x64` ships.
    ///
    /// # Panics
    /// When they are not fetched or the program does not compile.
    pub fn node_llama_cpp() -> Self {
        let folder = libraries::node_llama_cpp();
        Self::compile(&folder, Some(folder.clone()))
    }

    /// On the same package's Vulkan libraries.
    ///
    /// # Panics
    /// As above.
    pub fn node_llama_cpp_vulkan() -> Self {
        let folder =
            Cache::locate().built("vulkan/node_modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan");
        Self::compile(&folder, Some(folder.clone()))
    }

    /// On the libraries of the llama-server that `tests/hosts/build` compiles.
    ///
    /// # Panics
    /// As above.
    pub fn llama_server() -> Self {
        let folder = Cache::locate().built("llama-server/bin");
        Self::compile(&folder, Some(folder.clone()))
    }

    /// On the same libraries with ggml's RPC backend beside them.
    ///
    /// # Panics
    /// As above.
    pub fn llama_server_rpc() -> Self {
        let folder = Cache::locate().built("rpc/bin");
        Self::compile(&folder, Some(folder.clone()))
    }

    /// On the libraries that the crate llama-cpp-2 compiles.
    ///
    /// # Panics
    /// As above.
    pub fn llama_cpp_2() -> Self {
        Self::compile(&Cache::locate().built("llama-cpp-2/lib"), None)
    }

    /// With llama.cpp inside the program: the archives that the crate llama-cpp-2 compiles. Its functions are exported
    /// only if `exported` says so.
    ///
    /// # Panics
    /// As above.
    pub fn with_llama_inside(exported: bool) -> Self {
        let archives = Cache::locate().built("static/lib");
        let (scratch, mut command) = Self::compiler();
        command.arg(format!("-L{}", archives.display())).args(["-Wl,--start-group"]);
        command.args(["-lllama", "-lggml", "-lggml-cpu", "-lggml-base"]).arg("-Wl,--end-group");
        command.args(["-lstdc++", "-lm", "-lpthread", "-ldl"]).args(exported.then_some("-rdynamic"));
        let _ = run(command, &Setting::new(), scratch.folder()).success();
        Self { program: scratch.path("host"), backends: None, _folder: scratch }
    }

    fn compile(libraries: &Path, backends: Option<PathBuf>) -> Self {
        let (scratch, mut command) = Self::compiler();
        command.args(["llama", "ggml", "ggml-base"].map(|name| libraries::find(libraries, name)));
        // The older kind of search path: it also serves the libraries that these libraries need.
        command.arg(format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display())).arg("-ldl");
        let _ = run(command, &Setting::new(), scratch.folder()).success();
        Self { program: scratch.path("host"), backends, _folder: scratch }
    }

    /// The compiler with the program's sources, for `host` in a new folder.
    fn compiler() -> (Scratch, Command) {
        let scratch = Scratch::new();
        let mut command = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        command
            .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(scratch.path("host"));
        command.args(
            ["host.c", "options.c", "vector.c", "choose.c", "switch.c", "script.c", "embed.c", "rpc.c"]
                .map(|file| source("c").join(file)),
        );
        command.arg("-I").arg(Cache::locate().fetched("include")).arg("-I").arg(source("../../include"));
        (scratch, command)
    }

    /// Runs it; the logits are there only if it ended well.
    ///
    /// # Panics
    /// When it ended well without a recording.
    pub fn try_run(&self, decode: &Decode, door: Option<Door>, setting: &Setting) -> (Finished, Option<Recording>) {
        let scratch = Scratch::new();
        let out = scratch.path("logits");
        let mut command = Command::new(&self.program);
        command.args(decode.arguments(&out));
        if let Some(folder) = &self.backends {
            command.arg("--backends").arg(folder);
        }
        let setting = match door {
            Some(door) => {
                command.args(door.arguments());
                door.setting().and(setting)
            }
            None => setting.clone(),
        };
        let finished = run(command, &setting, scratch.folder());
        let recording =
            finished.status.success().then(|| Recording::parse(&fs::read_to_string(&out).expect("a recording")));
        (finished, recording)
    }

    /// Runs it without the library.
    ///
    /// # Panics
    /// When it fails.
    pub fn plain(&self, decode: &Decode) -> Recording {
        self.expect(decode, None, &Setting::new())
    }

    /// Runs it with the library, where some rows may be no numbers.
    ///
    /// # Panics
    /// When it fails.
    pub fn with_any(&self, decode: &Decode, door: Door, setting: &Setting) -> Recording {
        let (finished, recording) = self.try_run(decode, Some(door), setting);
        recording.unwrap_or_else(|| panic!("{}\n{}", finished.status, finished.stderr))
    }

    /// Runs it with the library.
    ///
    /// # Panics
    /// When it fails.
    pub fn with(&self, decode: &Decode, door: Door, setting: &Setting) -> Recording {
        self.expect(decode, Some(door), setting)
    }

    fn expect(&self, decode: &Decode, door: Option<Door>, setting: &Setting) -> Recording {
        let (finished, recording) = self.try_run(decode, door, setting);
        let recording = recording.unwrap_or_else(|| panic!("{}\n{}", finished.status, finished.stderr));
        recording.assert_finite();
        recording
    }
}
