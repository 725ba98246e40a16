//! `plugin/core/OPERATIONS.md` against the sources: what the library makes, and what each backend says it supports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::{Scratch, Setting, run};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn repository(path: &str) -> String {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
}

/// The rows of the table: operation, then what is said of each backend.
fn table() -> Vec<Vec<String>> {
    let text = repository("plugin/core/OPERATIONS.md");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = text.lines().filter(|l| l.starts_with("| `")).map(cells).collect();
    assert!(rows.len() > 10, "{rows:?}");
    rows
}

/// The ggml functions that make nodes, as operations.
#[test]
fn it_lists_what_the_library_makes() {
    let code = repository("plugin/src/hook/edit.rs") + &repository("plugin/src/hook/computed.rs");
    let made: BTreeSet<String> = code
        .split(".ggml_")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect();
    // What makes no operation.
    let others = [
        "dup_tensor",
        "new_tensor_1d",
        "new_tensor_2d",
        "new_tensor_3d",
        "set_name",
        "graph_add_node",
        "graph_n_nodes",
        "graph_nodes",
    ];
    let operation = |name: &str| match name {
        "scale_bias" => "SCALE".to_owned(),
        "view_2d" => "VIEW".into(),
        "custom_4d" => "CUSTOM".into(),
        "repeat_4d" => "REPEAT".into(),
        "reshape_4d" => "RESHAPE".into(),
        "relu" | "step" | "sigmoid" => format!("UNARY {}", name.to_uppercase()),
        name => name.to_uppercase(),
    };
    let made: BTreeSet<String> = made
        .iter()
        .filter(|n| !others.contains(&n.as_str()) && !n.starts_with("build_") && !n.starts_with("backend_"))
        .map(|n| operation(n))
        .collect();
    let listed: BTreeSet<String> = table().into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(made, listed);
}

/// llama.cpp's sources, as the crate llama-cpp-sys-2 carries them.
fn ggml() -> PathBuf {
    let scratch = Scratch::new();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/static/Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--offline", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let text = run(command, &Setting::new(), scratch.folder()).success().stdout;
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let sys = packages.iter().find(|p| p["name"] == "llama-cpp-sys-2").expect("the crate");
    Path::new(sys["manifest_path"].as_str().expect("a path")).with_file_name("llama.cpp/ggml/src")
}

/// The body of the function that begins with `head` in a C or C++ file.
fn body(path: &Path, head: &str) -> String {
    let text = read(path);
    let starts = text.match_indices(head).map(|(at, _)| &text[at..]);
    // A declaration ends before a body begins.
    let mut starts = starts.filter(|rest| rest.find('{').is_some_and(|brace| !rest[..brace].contains(';')));
    let rest = starts.next().unwrap_or_else(|| panic!("{} has no {head}", path.display()));
    let end = rest.find("\n}").expect("its end");
    rest[..end].to_owned()
}

#[test]
fn each_backend_lists_each_operation() {
    let backends = [
        ("ggml-metal/ggml-metal-device.m", "bool ggml_metal_device_supports_op("),
        ("ggml-cuda/ggml-cuda.cu", "static bool ggml_backend_cuda_device_supports_op("),
        ("ggml-vulkan/ggml-vulkan.cpp", "static bool ggml_backend_vk_device_supports_op("),
        ("ggml-opencl/ggml-opencl.cpp", "static bool ggml_opencl_supports_op("),
    ];
    let ggml = ggml();
    for (column, (file, head)) in backends.iter().enumerate() {
        let code = body(&ggml.join(file), head);
        for row in table() {
            let name = match row[0].strip_prefix("UNARY ") {
                Some(unary) => format!("GGML_UNARY_OP_{unary}:"),
                None => format!("GGML_OP_{}:", row[0]),
            };
            let listed = code.contains(&format!("case {name}"));
            assert_eq!(listed, row[2 + column] != "CPU", "{file}: {name} {row:?}");
        }
    }
    let metal = body(&ggml.join(backends[0].0), backends[0].1);
    let sums = metal.split("case GGML_OP_SUM_ROWS:").nth(1).expect("SUM_ROWS");
    assert!(sums.split("return").nth(1).is_some_and(|r| r.contains("has_simdgroup_reduction")), "SUM_ROWS on Metal");
}
