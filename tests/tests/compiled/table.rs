//! The README's table of programs and ways in: those that are compiled here.

use std::fs;
use std::path::Path;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::completion::{Request, Step};
use evenkeel_tests::host::{
    Arguments, CHost, Decode, EmbeddedHost, Native, Python, RpcServers, RustHost, Server, ServerKind,
};
use evenkeel_tests::table::{Answer, Device, Group, Look, Row, check};
use evenkeel_tests::{Door, Recording, Scratch, Setting};

const TOKENS: [u32; 8] = [1, 40, 200, 7, 301, 99, 260, 262];
const LOADED: [(Door, &str); 2] = [(Door::Preload, "`LD_PRELOAD`"), (Door::BackendPath, "`GGML_BACKEND_PATH`")];

/// A model, a vector, and what is the same in every row.
struct Place {
    scratch: Scratch,
    decode: Decode,
}

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new();
        let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
        scratch.vector(Arch::Llama);
        Self { scratch, decode }
    }

    fn model(&self) -> &Path {
        &self.decode.model
    }

    /// The answers of a C program without the library, and under the native control vector.
    fn both(&self, host: &CHost, decode: &Decode) -> (Recording, Recording) {
        let native = Native { file: self.scratch.path("v.gguf"), strength: 2.0, layers: None };
        (host.plain(decode), host.plain(&Decode { native: Some(native), ..decode.clone() }))
    }

    fn on_cpu<T: Answer>(
        &self,
        (program, door): (&str, &str),
        (plain, native): &(T, T),
        with: &dyn Fn(&Setting) -> T,
    ) -> Row {
        let (scratch, device) = (&self.scratch, Device::Cpu);
        Look { program, door, device, scratch, plain, native, on_cpu: None, with }.row(Group::Compiled)
    }

    fn on_rpc<T: Answer>(
        &self,
        (program, door): (&str, &str),
        (plain, native): &(T, T),
        (cpu, steered): &(T, T),
        with: &dyn Fn(&Setting) -> T,
    ) -> Row {
        let (scratch, device) = (&self.scratch, Device::Rpc);
        Look { program, door, device, scratch, plain, native, on_cpu: Some((cpu, steered)), with }.row(Group::Compiled)
    }
}

#[test]
fn of_the_readme() {
    let place = Place::new();
    let rows = [llama_server(&place), llama_cpp_python(&place), rust(&place), static_programs(&place), rpc(&place)];
    check(Group::Compiled, &rows.into_iter().flatten().collect::<Vec<_>>());
}

fn complete(kind: ServerKind, arguments: &Arguments, setting: &Setting) -> Vec<Step> {
    Server::start(kind, arguments, setting).complete(&Request::tokens(&TOKENS))
}

fn natively(place: &Place, arguments: &Arguments) -> Arguments {
    let vector = format!("{}:2.0", place.scratch.path("v.gguf").display());
    arguments.clone().extra("--control-vector-scaled").extra(vector)
}

fn llama_server(place: &Place) -> Vec<Row> {
    let arguments = Arguments::new(place.model());
    let run = |arguments: &Arguments, setting: &Setting| complete(ServerKind::Program, arguments, setting);
    let both = (run(&arguments, &Setting::new()), run(&natively(place, &arguments), &Setting::new()));
    let row = |(door, name): (Door, &str)| {
        place.on_cpu(("llama-server", name), &both, &|setting| run(&arguments, &door.setting().and(setting)))
    };
    LOADED.map(row).into()
}

fn llama_cpp_python(place: &Place) -> Vec<Row> {
    let python = Python::with_wheel();
    let both = place.both(&CHost::llama_server(), &place.decode);
    let empty = place.scratch.path("nothing.toml");
    fs::write(&empty, "schema = 1\n").expect("a profile is written");
    let import = |setting: &Setting| {
        // It loads a profile by its path; without one, nothing of evenkeel is imported at all.
        let path = setting.value("EVENKEEL_PROFILE").unwrap_or_else(|| empty.clone().into());
        let (finished, recording) = python.try_run(place.model(), &[path.to_str().expect("a path in UTF-8")]);
        recording.unwrap_or_else(|| panic!("{}\n{}", finished.status, finished.stderr))
    };
    let vector = place.scratch.vector(Arch::Llama).scaled(2.0);
    let answer = |setting: &Setting| python.complete(place.model(), "a bc", setting);
    let server = (answer(&Setting::new()), python.complete_natively(place.model(), "a bc", &vector));
    let preload = Setting::new().env("LD_PRELOAD", python.library());
    vec![
        place.on_cpu(("llama-cpp-python", "`import evenkeel`"), &both, &import),
        place.on_cpu(("llama-cpp-python's server", "`LD_PRELOAD`"), &server, &|s| answer(&preload.clone().and(s))),
    ]
}

/// The crate's default: llama.cpp chooses flash attention by itself, and takes it on a CPU.
fn flash(place: &Place) -> Decode {
    Decode { flash: true, ..place.decode.clone() }
}

fn rust(place: &Place) -> Vec<Row> {
    let native = place.both(&CHost::llama_cpp_2(), &flash(place)).1;
    let both = (RustHost::run(place.model(), &Setting::new()), native);
    let with = |setting: &Setting| RustHost::run(place.model(), &Door::Preload.setting().and(setting));
    vec![place.on_cpu(("Rust, on llama-cpp-2 with `dynamic-link`", "`LD_PRELOAD`"), &both, &with)]
}

fn static_programs(place: &Place) -> Vec<Row> {
    let mut rows = Vec::new();
    let doors = [
        (false, Door::Embed, "`EK_API_FILL`, `ek_install_api`"),
        (true, Door::EmbedExported, "`-rdynamic`, `ek_install_api`"),
    ];
    for (exported, door, name) in doors {
        let host = CHost::with_llama_inside(exported);
        let both = place.both(&host, &place.decode);
        let with = |setting: &Setting| host.with(&place.decode, door, setting);
        rows.push(place.on_cpu(("C, with llama.cpp inside", name), &both, &with));
    }
    let native = place.both(&CHost::with_llama_inside(false), &flash(place)).1;
    let both = (EmbeddedHost::run(place.model(), false, &Setting::new()), native);
    let with = |setting: &Setting| EmbeddedHost::run(place.model(), true, setting);
    rows.push(place.on_cpu(("Rust, on llama-cpp-2, llama.cpp inside", "`examples/rust`"), &both, &with));
    rows
}

fn rpc(place: &Place) -> Vec<Row> {
    let (host, servers) = (CHost::llama_server_rpc(), RpcServers::start());
    let add = place.scratch.profile(&evenkeel_tests::Profile::add("v.gguf", 2.0));
    let spread = Decode { rpc: Some(servers.list()), gpu_layers: 99, ..place.decode.clone() };
    let both = place.both(&host, &spread);
    let here = (host.plain(&place.decode), host.with(&place.decode, Door::Preload, &add));
    let doors = [LOADED[0], LOADED[1], (Door::Install, "`ek_install`"), (Door::Embed, "`ek_install_api`")];
    let c = |(door, name): (Door, &str)| {
        let with = |setting: &Setting| host.with(&spread, door, setting);
        place.on_rpc(("C, on llama-server's libraries", name), &both, &here, &with)
    };
    let run = |arguments: &Arguments, setting: &Setting| complete(ServerKind::ProgramRpc, arguments, setting);
    let plain = Arguments::new(place.model());
    let spread = plain.clone().extra("--rpc").extra(servers.list()).extra("--n-gpu-layers").extra("99");
    let both = (run(&spread, &Setting::new()), run(&natively(place, &spread), &Setting::new()));
    let here = (run(&plain, &Setting::new()), run(&plain, &Door::Preload.setting().and(&add)));
    let server = |(door, name): (Door, &str)| {
        let with = |setting: &Setting| run(&spread, &door.setting().and(setting));
        place.on_rpc(("llama-server", name), &both, &here, &with)
    };
    doors.into_iter().map(c).chain(LOADED.into_iter().map(server)).collect()
}
