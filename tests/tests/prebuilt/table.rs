//! The README's table of programs and ways in: those that package managers bring.

use std::path::Path;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::completion::{Request, Step};
use evenkeel_tests::host::{Arguments, CHost, Decode, Native, Node, Server, ServerKind, native_vector};
use evenkeel_tests::table::{Device, Group, Look, Row, check};
use evenkeel_tests::{Cache, Door, Scratch, Setting, library};

const TOKENS: [u32; 8] = [1, 40, 200, 7, 301, 99, 260, 262];

#[test]
fn of_the_readme() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let rows = [c_program(&scratch, &model), node(&scratch, &model), xllamacpp(&scratch, &model)];
    check(Group::Prebuilt, &rows.into_iter().flatten().collect::<Vec<_>>());
}

fn c_program(scratch: &Scratch, model: &Path) -> Vec<Row> {
    scratch.vector(Arch::Llama);
    let (host, decode) = (CHost::node_llama_cpp(), Decode::new(model));
    let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
    let (plain, native) = (host.plain(&decode), host.plain(&Decode { native: Some(native), ..decode.clone() }));
    let doors = [
        (Door::Preload, "`LD_PRELOAD`"),
        (Door::BackendPath, "`GGML_BACKEND_PATH`"),
        (Door::Install, "`ek_install`"),
        (Door::Embed, "`ek_install_api`"),
    ];
    let row = |(door, name): (Door, &str)| {
        let look = Look {
            program: "C, on node-llama-cpp's libraries",
            door: name,
            device: Device::Cpu,
            scratch,
            plain: &plain,
            native: &native,
            on_cpu: None,
            with: &|setting| host.with(&decode, door, setting),
        };
        look.row(Group::Prebuilt)
    };
    doors.map(row).into()
}

fn node(scratch: &Scratch, model: &Path) -> Vec<Row> {
    let vector = scratch.vector(Arch::Llama);
    let run = |setting: &Setting| Node::probabilities(model, &TOKENS, setting).1;
    let (plain, native) = (run(&Setting::new()), run(&native_vector(scratch, &vector, 2.0)));
    let row = |(door, name): (Door, &str)| {
        let look = Look {
            program: "node-llama-cpp, in Node",
            door: name,
            device: Device::Cpu,
            scratch,
            plain: &plain,
            native: &native,
            on_cpu: None,
            with: &|setting| run(&door.setting().and(setting)),
        };
        look.row(Group::Prebuilt)
    };
    [(Door::Preload, "`LD_PRELOAD`"), (Door::BackendPath, "`GGML_BACKEND_PATH`")].map(row).into()
}

fn xllamacpp(scratch: &Scratch, model: &Path) -> Vec<Row> {
    let vector = scratch.vector(Arch::Llama);
    let run = |arguments: &Arguments, setting: &Setting| -> Vec<Step> {
        Server::start(ServerKind::Xllamacpp, arguments, setting).complete(&Request::tokens(&TOKENS))
    };
    let arguments = Arguments::new(model);
    let (plain, native) = (run(&arguments, &Setting::new()), run(&arguments, &native_vector(scratch, &vector, 2.0)));
    let look = |program, door, with: &dyn Fn(&Setting) -> Vec<Step>| {
        let (plain, native) = (&plain, &native);
        Look { program, door, device: Device::Cpu, scratch, plain, native, on_cpu: None, with }.row(Group::Prebuilt)
    };
    // The package as it lies in the source tree, which is told where the library is.
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/python");
    let paths = std::env::join_paths([Cache::locate().fetched("python"), package]).expect("paths without colons");
    let imported = Setting::new().env("PYTHONPATH", paths).env("EVENKEEL_PLUGIN", library());
    let importing = arguments.clone().extra("--evenkeel");
    vec![
        look("xllamacpp's server", "`LD_PRELOAD`", &|setting| run(&arguments, &Door::Preload.setting().and(setting))),
        look("xllamacpp, in Python", "`import evenkeel`", &|setting| run(&importing, &imported.clone().and(setting))),
    ]
}
