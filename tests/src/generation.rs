//! The table of supported generations of llama.cpp, and which host stands for each row.

use evenkeel_ffi::supported::{Generation, SUPPORTED};
use evenkeel_model::{Arch, FileType};

use crate::host::{Arguments, CHost, Decode, Server, ServerKind};
use crate::{Door, Profile, Scratch, Setting};

/// Where a row's host comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A package manager brings it.
    Prebuilt,
    /// `make hosts` compiles it.
    Compiled,
}

/// The rows whose host has this origin.
pub fn rows(origin: Origin) -> impl Iterator<Item = &'static Generation> {
    SUPPORTED.iter().filter(move |g| host_of(g).0 == origin)
}

/// Runs a profile on a row's host and returns what the library logs at level debug.
///
/// # Panics
/// When the host does not run.
pub fn log(generation: &Generation) -> String {
    let scratch = Scratch::new();
    scratch.vector(Arch::Llama);
    let model = scratch.model(Arch::Llama, FileType::F32);
    let setting = scratch.profile(&Profile::add("v.gguf", 1.0)).env("EVENKEEL_LOG", "debug");
    (host_of(generation).1)(&model, &setting)
}

type Run = fn(&std::path::Path, &Setting) -> String;

/// # Panics
/// For a row without a host: a generation is supported if a test runs on it.
fn host_of(generation: &Generation) -> (Origin, Run) {
    match generation.name {
        "v0.5, batches through llama_decode" => {
            (Origin::Prebuilt, |model, setting| on(&CHost::node_llama_cpp(), model, setting))
        }
        "v0.5, batches through llama_process" => {
            (Origin::Compiled, |model, setting| on(&CHost::llama_server(), model, setting))
        }
        "v0.6" => (Origin::Prebuilt, |model, setting| {
            let setting = Door::Preload.setting().and(setting);
            Server::start(ServerKind::Xllamacpp, &Arguments::new(model), &setting).log()
        }),
        name => panic!("no test runs on the supported generation `{name}`"),
    }
}

fn on(host: &CHost, model: &std::path::Path, setting: &Setting) -> String {
    host.try_run(&Decode::new(model), Some(Door::Preload), setting).0.success().stderr
}
