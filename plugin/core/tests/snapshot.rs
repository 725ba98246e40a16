//! Folders of snapshots: whose they may be, and what lies in them.
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use evenkeel_core::snapshot::{Folder, FolderError, MAX_BYTES};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_file_is_the_users_alone_and_is_replaced() {
    let base = tempfile::tempdir().expect("a folder");
    let path = base.path().join("run/evenkeel");
    let folder = Folder::make(&path).expect("it is made");
    assert_eq!(mode(&path), 0o700);
    assert_eq!(folder.read(7).expect("no file is no error"), None);
    for text in ["one, the longer of them", "two"] {
        folder.write(7, text.as_bytes()).expect("it is written");
        assert_eq!(folder.read(7).expect("it is read").as_deref(), Some(text));
    }
    assert_eq!(mode(&path.join("7.json")), 0o600);
    // What a killed writer left is no obstacle, nor is anything else that lies there.
    fs::write(path.join(".7.new"), "half").expect("a file");
    for name in ["x.json", "07.json", "9.txt", "-1.json"] {
        fs::write(path.join(name), "").expect("a file");
    }
    folder.write(7, b"three").expect("it is written");
    assert_eq!(folder.pids().expect("a list"), [7]);
    folder.remove(7).expect("it is removed");
    folder.remove(7).expect("removing nothing is no error");
    assert_eq!(folder.pids().expect("a list"), [0u32; 0]);
    assert!(!path.join(".7.new").exists());
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let base = tempfile::tempdir().expect("a folder");
    let folder = Folder::make(base.path()).expect("it is there");
    fs::create_dir(base.path().join("5.json")).expect("a folder in the way");
    assert!(folder.write(5, b"text").is_err());
    assert!(!base.path().join(".5.new").exists());
    assert_eq!(folder.read(5).expect("a folder is no file of ours"), None);
    fs::write(base.path().join("6.json"), vec![b' '; MAX_BYTES as usize + 1]).expect("a large file");
    assert!(folder.read(6).is_err());
    symlink("6.json", base.path().join("8.json")).expect("a link");
    assert_eq!(folder.read(8).expect("a link is no file of ours"), None);
}

#[test]
fn a_link_a_file_and_a_folder_for_all_are_refused() {
    let base = tempfile::tempdir().expect("a folder");
    let (real, link, file, open) =
        (base.path().join("real"), base.path().join("link"), base.path().join("file"), base.path().join("open"));
    fs::create_dir(&real).expect("a folder");
    symlink(&real, &link).expect("a link");
    fs::write(&file, "").expect("a file");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("a mode");
    for path in [&link, &file] {
        let error = Folder::make(path).expect_err("refused");
        assert!(matches!(error, FolderError::NoFolder { .. }), "{error}");
    }
    let error = Folder::make(&open).expect_err("refused");
    assert!(matches!(error, FolderError::Mode { mode: 0o777, .. }), "{error}");
    assert!(error.to_string().contains("got mode 0777, allowed: 0700"), "{error}");
    let error = Folder::open(&base.path().join("nowhere")).expect_err("not there");
    assert!(matches!(&error, FolderError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound), "{error}");
}

/// Nobody but root can give a folder away, and a folder of root's is somebody else's for all others.
#[test]
fn a_folder_of_somebody_else_is_refused() {
    let base = tempfile::tempdir().expect("a folder");
    let given = std::os::unix::fs::chown(base.path(), Some(12345), None).is_ok();
    let path = if given { base.path() } else { Path::new("/proc") };
    let error = Folder::open(path).expect_err("refused");
    assert!(matches!(error, FolderError::Owner { .. }), "{error}");
}
