//! A model spread over two machines: two of ggml's RPC servers on the loopback interface. The vectors lie with the layers
//! that they steer, and what crosses the network is the graph.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::{changes_nothing_through, is_native_through, nothing};
use evenkeel_tests::completion::{Request, assert_same};
use evenkeel_tests::host::{Arguments, CHost, Decode, RpcServers, Server, ServerKind};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

fn spread(servers: &RpcServers, decode: Decode) -> Decode {
    Decode { rpc: Some(servers.list()), gpu_layers: 99, ..decode }
}

#[test]
fn a_spread_model_is_steered() {
    let (host, servers) = (CHost::llama_server_rpc(), RpcServers::start());
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = spread(&servers, Decode { flash, ..Decode::new(&model) });
            let what = format!("{arch:?}, flash attention {flash}");
            changes_nothing_through(Door::Preload, &host, &scratch, &decode, &what);
            is_native_through(Door::Preload, &host, &scratch, &decode, None, 2.0, &what);
        }
    }
}

/// Through the other doors, too; and the vectors lie on both servers.
#[test]
fn through_every_door() {
    let (host, servers) = (CHost::llama_server_rpc(), RpcServers::start());
    let scratch = Scratch::new();
    let decode = spread(&servers, Decode::new(&scratch.model(Arch::Llama, FileType::F32)));
    scratch.vector(Arch::Llama);
    for door in [Door::BackendPath, Door::Install, Door::Embed] {
        is_native_through(door, &host, &scratch, &decode, None, 2.0, &format!("{door:?}"));
    }
    let setting = scratch.profile(&Profile::add("v.gguf", 2.0)).env("EVENKEEL_LOG", "debug");
    let log = host.try_run(&decode, Some(Door::Preload), &setting).0.success().stderr;
    for server in servers.list().split(',') {
        assert!(log.contains(&format!("of vectors in RPC0[{server}]")), "{server}:\n{log}");
    }
}

/// The servers compute with the same CPU kernels as the host does, so that every operator gives the same bits as there.
#[test]
fn every_operator_as_on_the_hosts_own_device() {
    let (host, servers) = (CHost::llama_server_rpc(), RpcServers::start());
    let scratch = Scratch::new();
    let here = Decode { sequences: 2, ubatch: 16, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    scratch.vector(Arch::Llama);
    let there = spread(&servers, here.clone());
    host.plain(&here).assert_same(&host.plain(&there), "without the library");
    let rules = [
        "operator = \"project\"",
        "operator = \"add\"\nstrength = 1.5\nadjustable = true",
        "operator = \"clamp\"\nmin = -0.01\nmax = 0.01",
        "operator = \"add\"\nstrength = 2.0\nwhen = { similar-to = \"v.gguf\", layer = 2, above = 0.0 }",
    ];
    for rule in rules {
        let setting = scratch.profile(&Profile::empty().and_rule("v.gguf", rule));
        let steered = host.with(&here, Door::Preload, &setting);
        steered.assert_same(&host.with(&there, Door::Preload, &setting), rule);
        // A rule with a condition leaves some rows alone.
        assert_ne!(host.plain(&here), steered, "{rule}");
    }
}

/// llama-server with `--rpc`: its own control vector and the profile's, to the last digit.
#[test]
fn a_server_on_two_machines() {
    const PROMPT: [u32; 8] = [1, 40, 200, 7, 301, 99, 260, 262];
    let servers = RpcServers::start();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let plain = || Arguments::new(&model).extra("--rpc").extra(servers.list()).extra("--n-gpu-layers").extra("99");
    let vector = format!("{}:2.0", scratch.path("v.gguf").display());
    let complete = |arguments: Arguments, setting: &Setting| {
        Server::start(ServerKind::ProgramRpc, &arguments, setting).complete(&Request::tokens(&PROMPT))
    };
    let native = complete(plain().extra("--control-vector-scaled").extra(vector), &Setting::new());
    let unsteered = complete(plain(), &Setting::new());
    assert_ne!(unsteered, native);
    let steered = complete(plain(), &Door::Preload.setting().and(&scratch.profile(&Profile::add("v.gguf", 2.0))));
    assert_same(&native, &steered, "the control vector and add");
    for (name, profile) in nothing() {
        let answer = complete(plain(), &Door::Preload.setting().and(&scratch.profile(&profile)));
        assert_same(&unsteered, &answer, name);
    }
}

/// Devices that lack an operation: said before the first token, with what it costs, and where.
#[test]
fn a_device_that_lacks_an_operation() {
    let (host, servers) = (CHost::llama_server_rpc(), RpcServers::start());
    let scratch = Scratch::new();
    let decode = spread(&servers, Decode::new(&scratch.model(Arch::Llama, FileType::F32)));
    scratch.vector(Arch::Llama);
    let setting = scratch.profile(&Profile::empty().and_rule("v.gguf", "operator = \"project\""));
    let said = |lacks| {
        let decode = Decode { lacks, ..decode.clone() };
        host.try_run(&decode, Some(Door::Embed), &setting).0.success().stderr
    };
    let whole = said(None);
    assert!(!whole.contains("does not compute"), "{whole}");
    let log = said(Some("SUM_ROWS"));
    let lines: Vec<&str> = log.lines().filter(|l| l.contains(" does not compute SUM_ROWS: at block")).collect();
    assert!(!lines.is_empty() && lines.len() <= 2, "once for each device that has such a block:\n{log}");
    assert!(lines.iter().all(|l| l.contains("RPC") && l.contains("up to 0.5 KiB")), "{log}");
    assert!(!log.contains("does not compute ADD"), "{log}");
}
