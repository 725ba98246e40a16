//! Files that are no ordinary files, and folders that must not be left.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel_core::asset::{AssetError, Direction, Places, Raw};
use evenkeel_core::load::{LoadError, load};
use support::folder::Folder;
use support::gguf::Gguf;

fn vector() -> Vec<u8> {
    Gguf::vector("llama").direction(1, &[1.0, 2.0]).build()
}

fn load_error(path: &Path) -> LoadError {
    load(path).expect_err("it was loaded").into_iter().next().unwrap().error
}

#[test]
fn a_profile_that_is_no_file_or_no_text() {
    let folder = Folder::new();
    let error = load_error(&folder.path().join("none.toml"));
    assert!(matches!(error, LoadError::File(AssetError::Unreadable { .. })), "{error}");
    let error = load_error(folder.path());
    assert!(matches!(error, LoadError::File(AssetError::NotRegular { kind: "a folder" })), "{error}");
    let error = load_error(&folder.write("latin1.toml", b"schema = 1 # gr\xFC\xDF"));
    assert_eq!(error, LoadError::NotText { got: 0xFC, at: 15 });
    let error = load_error(&folder.write("large.toml", vec![b'#'; (1 << 20) + 1]));
    assert_eq!(error, LoadError::File(AssetError::TooLarge { got: (1 << 20) + 1, max: 1 << 20 }));
    let comment = [b"schema = 1 #".to_vec(), vec![b'x'; (1 << 20) - 12]].concat();
    assert!(load(&folder.write("full.toml", comment)).is_ok());
    assert!(load(&folder.write("mark.toml", "\u{feff}schema = 1\r\n")).is_ok());
}

#[test]
fn a_report_names_the_profile_as_it_was_given() {
    let folder = Folder::new();
    let path = folder.write("p.toml", "schema = 3");
    let text = load(&path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}:1:10 schema: ", path.display())), "{text}");
    let path = folder.path().join("none.toml");
    let text = load(&path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}: cannot be read, got ", path.display())), "{text}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe.gguf");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let start = Instant::now();
    let kind = "a pipe, socket or device";
    assert_eq!(Direction::read(&pipe, &Raw::default()), Err(AssetError::NotRegular { kind }));
    assert_eq!(load_error(&pipe), LoadError::File(AssetError::NotRegular { kind }));
    assert_eq!(Direction::read(Path::new("/dev/zero"), &Raw::default()), Err(AssetError::NotRegular { kind }));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A file that has more bytes than it says stands for one that grows while it is read.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_changes_is_given_up() {
    let error = load_error(Path::new("/proc/self/status"));
    assert!(matches!(error, LoadError::File(AssetError::Changed { expected: 0, got: 1.. })), "{error}");
}

#[test]
fn a_file_over_the_cap_is_refused_unread() {
    let folder = Folder::new();
    let path = folder.write("sparse.gguf", vector());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // A hole: the size is claimed and no disk is used.
    file.set_len((4 << 30) + 1).unwrap();
    let start = Instant::now();
    assert_eq!(Direction::read(&path, &Raw::default()), Err(AssetError::TooLarge { got: (4 << 30) + 1, max: 4 << 30 }));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_model_is_recognised_by_its_first_bytes() {
    let folder = Folder::new();
    let path = folder.write("model.gguf", Gguf::model("llama", 8, 6).build());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(64 << 30).unwrap();
    let start = Instant::now();
    assert_eq!(Direction::read(&path, &Raw::default()), Err(AssetError::NotAVector { got: "llama".into() }));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn paths_stay_below_the_folders() {
    let (folder, other) = (Folder::new(), Folder::new());
    let inside = folder.write("a/v.gguf", vector());
    let outside = other.write("v.gguf", vector());
    let mut places = Places::new(folder.path()).unwrap();
    for typed in ["a/v.gguf", "./a/v.gguf", "a/../a/v.gguf", &inside.to_string_lossy()] {
        assert_eq!(places.resolve(typed), Ok(inside.clone()), "{typed}");
    }
    let up = format!("../{}/v.gguf", other.path().file_name().unwrap().to_string_lossy());
    for typed in [&*up, &outside.to_string_lossy(), "/dev/null"] {
        assert!(matches!(places.resolve(typed), Err(AssetError::Outside { .. })), "{typed}");
    }
    assert!(matches!(places.resolve("v.gguf"), Err(AssetError::NotFound { .. })));
    places.add(&other.path().to_string_lossy()).unwrap();
    for typed in [&*up, &outside.to_string_lossy(), "v.gguf"] {
        assert_eq!(places.resolve(typed), Ok(outside.clone()), "{typed}");
    }
    assert!(matches!(places.add("nowhere"), Err(AssetError::NotAFolder { .. })));
    // Folders are compared by their parts: `ab` is not below `a`.
    folder.write("ab/v.gguf", vector());
    let narrow = Places::new(&folder.path().join("a")).unwrap();
    assert!(matches!(narrow.resolve("../ab/v.gguf"), Err(AssetError::Outside { .. })));
}

#[test]
fn a_file_used_twice_is_read_once() {
    let folder = Folder::new();
    folder.write("v.gguf", vector());
    let rule = |name, path| format!("[[steer]]\nname = \"{name}\"\ndirection = \"{path}\"\n");
    let text = format!("schema = 1\n{}{}", rule("a", "v.gguf"), rule("b", "./v.gguf"));
    let loaded = load(&folder.write("p.toml", text)).unwrap();
    let [a, b] = &loaded.assets.steer[..] else { panic!() };
    assert!(std::sync::Arc::ptr_eq(a, b));
    let text = loaded.assets.to_string();
    assert!(text.starts_with("v.gguf: GGUF, 1 directions of width 2, made for \"llama\", sha256 "), "{text}");
}
