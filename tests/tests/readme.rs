//! What the README says is there: commands, targets, variables, functions, files, and profiles that can be read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use evenkeel_core::profile::Profile;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All words of `text` that begin with `prefix` and go on with characters that `belongs` accepts.
fn words(text: &str, prefix: &str, belongs: fn(char) -> bool) -> BTreeSet<String> {
    let starts =
        text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let word = |at: usize| text[at..].chars().take_while(|c| belongs(*c)).collect::<String>();
    starts.map(|(at, _)| word(at)).filter(|w| w.len() > prefix.len()).collect()
}

/// The text of every source file below a folder.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    let text = |p: PathBuf| if p.is_dir() { sources(&p) } else { std::fs::read_to_string(&p).unwrap_or_default() };
    paths.into_iter().map(text).collect()
}

fn is_variable(c: char) -> bool {
    c.is_ascii_uppercase() || c == '_'
}

#[test]
fn every_variable_is_read_and_every_one_that_the_library_reads_is_explained() {
    let explained = words(&read("README.md"), "EVENKEEL_", is_variable);
    let library = words(&sources(&root().join("plugin/src/state")), "EVENKEEL_", is_variable);
    let all =
        [sources(&root().join("cli/src")), sources(&root().join("tests/src")), sources(&root().join("tests/hosts"))];
    let mut known = library.clone();
    known.extend(all.iter().flat_map(|text| words(text, "EVENKEEL_", is_variable)));
    assert!(!library.is_empty() && library.is_subset(&explained), "{library:?} of which the README has {explained:?}");
    assert!(explained.is_subset(&known), "{explained:?} of which there are {known:?}");
}

#[test]
fn every_target_is_in_the_makefile() {
    let makefile = read("Makefile");
    let targets = words(&read("README.md"), "make ", |c| c.is_ascii_lowercase() || c == '-' || c == ' ');
    let named: BTreeSet<&str> = targets.iter().filter_map(|t| t.split(' ').nth(1)).collect();
    // Running text also says "make" and goes on with an ordinary word.
    let prose = ["a", "the", "what", "sure"];
    for target in named.iter().filter(|t| !prose.contains(t)) {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    assert!(["demo", "test", "test-hosts"].iter().all(|t| named.contains(t)), "{named:?}");
}

#[test]
fn every_function_is_in_the_header() {
    let header = read("include/evenkeel.h");
    let functions = words(&read("README.md"), "ek_", |c| c.is_ascii_lowercase() || c == '_');
    assert!(!functions.is_empty());
    for function in functions {
        assert!(header.contains(&format!(" {function}(")), "{function}");
    }
}

#[test]
fn every_command_is_one_of_the_tool() {
    let (readme, args) = (read("README.md"), read("cli/src/args.rs"));
    let word = |rest: &str| rest.chars().take_while(char::is_ascii_lowercase).collect::<String>();
    let spans = readme.split("`evenkeel ").skip(1).map(word);
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|l| l.strip_prefix("evenkeel ")).map(word);
    let commands: BTreeSet<String> = spans.chain(lines).filter(|w| !w.is_empty()).collect();
    assert!(commands.len() > 3, "{commands:?}");
    for command in commands {
        let variant = command[..1].to_uppercase() + &command[1..];
        assert!(args.contains(&format!("\n    {variant}({variant}),")), "evenkeel {command}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let readme = read("README.md");
    let links: Vec<&str> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links.iter().filter(|l| !l.contains("://") && !l.starts_with('#')) {
        assert!(root().join(link).exists(), "{link}");
    }
}

#[test]
fn every_profile_in_it_can_be_read() {
    let readme = read("README.md");
    let profiles: Vec<&str> = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!profiles.is_empty());
    for profile in profiles {
        Profile::parse(profile, "README.md").unwrap_or_else(|e| panic!("{e}\n{profile}"));
    }
}

/// Its programs are those of `examples/`, which the tests compile and run.
#[test]
fn every_program_in_it_is_an_example() {
    let readme = read("README.md");
    for (language, example) in [("js", "examples/node/app.mjs"), ("rust", "examples/rust/main.rs")] {
        let block = readme.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
        assert_eq!(block.map(|(block, _)| block), Some(read(example).as_str()), "{example}");
    }
}

/// A test that is ignored says why in `tests/SKIPS.md`.
#[test]
fn every_skipped_test_has_its_reason() {
    let list = read("tests/SKIPS.md");
    let folders = ["tests/tests", "tests/src", "cli", "plugin", "ffi"];
    let code = folders.map(|folder| sources(&root().join(folder))).concat();
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    for (number, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("#[ignore")) {
        let function = lines[number..].iter().find_map(|line| line.split_once("fn "));
        let name = function.and_then(|(_, name)| name.split('(').next()).expect("a function");
        assert!(list.contains(&format!("`{name}`")), "{name} is not in tests/SKIPS.md");
    }
}
