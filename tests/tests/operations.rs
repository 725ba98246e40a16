//! `plugin/core/OPERATIONS.md` against the sources: what the library makes, and what each backend says it supports. Nothing is
//! computed: this needs what `make fetch` brings of llama.cpp's sources, and no device.

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

/// The text of every source file below a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let text = |path: PathBuf| if path.is_dir() { sources(&path) } else { read(&path) };
    entries.map(|entry| text(entry.expect("an entry").path())).collect()
}

/// Functions of ggml's that the library calls and that make no operation.
const OTHERS: [&str; 24] = [
    "build_forward_expand",
    "dup_tensor",
    "free",
    "get_mem_size",
    "graph_add_node",
    "graph_n_nodes",
    "graph_node",
    "graph_nodes",
    "graph_overhead_custom",
    "graph_size",
    "init",
    "nbytes",
    "new_graph_custom",
    "new_tensor_1d",
    "new_tensor_2d",
    "new_tensor_3d",
    "new_tensor_4d",
    "op_desc",
    "op_name",
    "set_input",
    "set_name",
    "set_output",
    "tensor_overhead",
    "version",
];

/// The operation that a function of ggml's makes.
fn operation(function: &str) -> String {
    match function {
        "scale_bias" => "SCALE".into(),
        "cast" => "CPY".into(),
        "rope_ext" => "ROPE".into(),
        "soft_max_ext" | "soft_max_add_sinks" => "SOFT_MAX".into(),
        "relu" | "step" | "sigmoid" | "tanh" => format!("UNARY {}", function.to_uppercase()),
        _ => {
            let end = ["_1d", "_2d", "_3d", "_4d"].into_iter().find_map(|end| function.strip_suffix(end));
            end.unwrap_or(function).to_uppercase()
        }
    }
}

/// Everything that the library's code calls of ggml's is listed, and nothing else: an operation that is new fails here.
#[test]
fn it_lists_what_the_library_makes() {
    let code = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin/src"));
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let calls: BTreeSet<String> = code.split(".ggml_").skip(1).map(name).collect();
    let own = |n: &&String| !n.starts_with("backend_") && !OTHERS.contains(&n.as_str());
    let made: BTreeSet<String> = calls.iter().filter(own).map(|n| operation(n)).collect();
    let listed: BTreeSet<String> = table().into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(made, listed);
}

/// llama.cpp's sources, as the crate llama-cpp-sys-2 carries them.
fn ggml() -> PathBuf {
    let scratch = Scratch::new();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/llama-cpp-2/Cargo.toml");
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

/// What a cell of the table says of an operation that a backend's own answer has a case for.
fn listed(code: &str, operation: &str) -> bool {
    let name = match operation.strip_prefix("UNARY ") {
        Some(unary) => format!("GGML_UNARY_OP_{unary}:"),
        None => format!("GGML_OP_{operation}:"),
    };
    code.contains(&format!("case {name}"))
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
            assert_eq!(listed(&code, &row[0]), row[2 + column] != "CPU", "{file}: {row:?}");
        }
    }
}

/// The answer that follows `case` in a backend's list: as far as its first `return`.
fn answer<'a>(code: &'a str, case: &str) -> &'a str {
    let rest = code.split(&format!("case {case}:")).nth(1).unwrap_or_else(|| panic!("no {case}"));
    let end = rest.match_indices("return").next().map(|(at, _)| at + rest[at..].find(';').unwrap_or(0));
    &rest[..end.expect("an answer")]
}

/// The conditions that the table names for Metal are those of the sources.
#[test]
fn metal_answers_under_these_conditions() {
    let metal = body(&ggml().join("ggml-metal/ggml-metal-device.m"), "bool ggml_metal_device_supports_op(");
    for operation in ["SUM_ROWS", "SOFT_MAX"] {
        assert!(answer(&metal, &format!("GGML_OP_{operation}")).contains("has_simdgroup_reduction"), "{operation}");
    }
    assert!(metal.contains("ggml_metal_supports_mul_mat_op(\n                    has_simdgroup_reduction"), "MUL_MAT");
    for operation in ["ADD", "SUB", "MUL", "SCALE", "CLAMP", "SQRT"] {
        assert!(answer(&metal, &format!("GGML_OP_{operation}")).contains("ggml_is_contiguous_rows"), "{operation}");
    }
    for operation in ["REPEAT", "ROPE", "RESHAPE", "VIEW", "PERMUTE"] {
        assert!(answer(&metal, &format!("GGML_OP_{operation}")).trim_end().ends_with("return true"), "{operation}");
    }
    // Copies between F32 and F32, F16 and I32; of F16.
    let copies = metal.split("case GGML_OP_CPY:").nth(1).expect("CPY");
    let of_f32 = copies.split("case GGML_TYPE_F32:\n                        switch (op->type)").nth(1).expect("of F32");
    let of_f32 = of_f32.split("return").next().expect("its answer");
    assert!(["F32", "I32"].iter().all(|t| of_f32.contains(&format!("case GGML_TYPE_{t}:"))), "{of_f32}");
}
