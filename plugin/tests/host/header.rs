//! `include/evenkeel.h` compiles by itself, says what is exported, and agrees with the library about numbers.

use std::{collections::BTreeMap, fs};

use super::{exports::exported, support::*};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn header() -> String {
    fs::read_to_string(repository().join("include/evenkeel.h")).expect("the header can be read")
}

/// The header without comments.
fn code() -> String {
    let text = header();
    let mut code = String::new();
    for part in text.split("/*") {
        code.push_str(part.split_once("*/").map_or(part, |(_, code)| code));
    }
    code
}

/// Compiles a program of these files with the header in reach.
fn build(variable: &str, name: &str, files: &[(&str, &str)], flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for a program");
    let sources: Vec<_> = files.iter().map(|(file, _)| folder.path().join(file)).collect();
    for (source, (_, text)) in sources.iter().zip(files) {
        fs::write(source, text).expect("a new folder can be written");
    }
    let include = format!("-I{}", repository().join("include").display());
    let flags: Vec<&str> = flags.iter().copied().chain(STRICT).chain([include.as_str()]).collect();
    let program = compile(&compiler(variable), name, &sources, &flags);
    fs::remove_file(program).expect("it was just made");
}

#[test]
fn it_compiles_alone_as_c11() {
    build("CC", "alone-c", &[("alone.c", "#include <evenkeel.h>\n")], &["-std=c11", "-c"]);
}

#[test]
fn it_compiles_alone_as_cpp17() {
    build("CXX", "alone-cpp", &[("alone.cpp", "#include <evenkeel.h>\n")], &["-std=c++17", "-c"]);
}

#[test]
fn it_may_be_included_twice_and_in_two_files_of_a_program() {
    let twice = "#include <evenkeel.h>\n#include <evenkeel.h>\n";
    let main =
        format!("{twice}ek_status other(void);\nint main(void) {{ return other() == EK_OK ? 0 : EK_E_HOST; }}\n");
    let other = format!("{twice}ek_status other(void);\nek_status other(void) {{ return EK_OK; }}\n");
    build("CC", "twice", &[("main.c", &main), ("other.c", &other)], &["-std=c11"]);
}

/// The functions that the header declares, sorted.
fn declared() -> Vec<String> {
    let code = code();
    let before = code.match_indices('(').map(|(i, _)| &code[..i]);
    let name = |text: &str| text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned);
    let mut names: Vec<String> = before.filter_map(name).filter(|n| n.starts_with("ek_")).collect();
    names.sort();
    names
}

#[test]
fn it_declares_what_is_exported() {
    let mut exports = exported(&library());
    exports.retain(|n| n.starts_with("ek_"));
    assert_eq!(declared(), exports);
}

/// `NAME = NUMBER` of an enumeration, names without prefix and case.
fn numbers(text: &str, prefix: &str) -> BTreeMap<String, i32> {
    let entry = |line: &str| {
        let (name, rest) = line.trim().strip_prefix(prefix)?.split_once(" = ").or(line.trim().split_once(" = "))?;
        let number = rest.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
        Some((name.trim().trim_start_matches("E_").to_uppercase(), number))
    };
    text.lines().filter_map(entry).collect()
}

#[test]
fn its_status_codes_are_the_librarys() {
    let rust = fs::read_to_string(repository().join("plugin/src/capi/status.rs")).expect("the source can be read");
    let (header, rust) = (numbers(&code(), "EK_"), numbers(&rust, ""));
    assert!(header.len() >= 8, "{header:?}");
    assert_eq!(header, rust);
}

#[test]
fn its_abi_version_is_the_librarys() {
    let line = header().lines().find_map(|l| l.strip_prefix("#define EK_ABI_VERSION ").map(str::to_owned));
    let ran = Driver::new(Door::Preload, "calls").run();
    ran.printed(&format!("ek_abi_version {}\n", line.expect("the header names it")));
}

/// The functions that `EK_API_FILL` hands over are those that the library needs: the required ones, those apart with which
/// a host is driven, and those that only attention and contrasts need, which that door does not have.
#[test]
fn its_list_of_functions_is_what_the_library_needs() {
    let symbols = fs::read_to_string(repository().join("ffi/generate/symbols.txt")).expect("the list can be read");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let apart = ["#", "host", "attention", "contrast", "join"];
    let needed = |w: &Vec<String>| w.len() == 3 && !apart.contains(&&*w[0]) && w[2] == "required";
    let mut needed: Vec<String> = symbols.lines().map(words).filter(needed).map(|w| w[1].clone()).collect();
    let code = code();
    let entries = code.split("X(").skip(1).filter_map(|rest| rest.split(')').next());
    let mut listed: Vec<String> = entries.map(str::to_owned).collect();
    needed.sort();
    listed.sort();
    assert!(needed.len() > 50, "{needed:?}");
    assert_eq!(listed, needed);
}
