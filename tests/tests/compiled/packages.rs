//! The release that `make package` writes, unpacked below a prefix of its own: the tool finds the library, a C program is
//! compiled by pkg-config's flags and runs, and the .deb holds the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::{Finished, Profile, Scratch, Setting, library, run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn one(folder: &Path, ending: &str) -> PathBuf {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found = paths.filter(|path| path.to_string_lossy().ends_with(ending));
    found.next().unwrap_or_else(|| panic!("{} has no *{ending}", folder.display()))
}

fn done(mut command: Command, arguments: &[&dyn AsRef<std::ffi::OsStr>], folder: &Path) -> Finished {
    command.args(arguments.iter().map(AsRef::as_ref)).current_dir(folder);
    run(command, &Setting::new(), folder).success()
}

/// Files below a folder, without the part that differs between an archive and a .deb.
fn files(folder: &Path, base: &Path) -> Vec<String> {
    let mut list = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list.extend(files(&path, base));
        } else {
            let name = path.strip_prefix(base).expect("below").to_string_lossy().into_owned();
            list.push(name.replace(&format!("lib/{}-linux-gnu/", std::env::consts::ARCH), "lib/"));
        }
    }
    list.sort();
    list
}

fn tool_works(prefix: &Path, scratch: &Scratch) {
    let tool = || Command::new(prefix.join("bin/evenkeel"));
    let version = done(tool(), &[&"--version"], scratch.folder()).stdout;
    assert!(version.starts_with("evenkeel "), "{version}");
    scratch.vector(Arch::Llama);
    let model = scratch.model(Arch::Llama, FileType::F32);
    let profile = scratch.path("judge.toml");
    fs::write(&profile, Profile::add("v.gguf", 2.0).text()).expect("a profile is written");
    // It runs a model under the profile: the library was found.
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"run", &"--model", &model, &"--profile", &profile, &"--prompt", &"a b"];
    let said = done(tool(), &arguments, scratch.folder()).stdout;
    assert!(said.contains("rule-0"), "{said}");
}

#[test]
fn a_release() {
    let scratch = Scratch::new();
    let release = scratch.path("release");
    let built = library().parent().expect("a folder").to_owned();
    assert!(built.join("evenkeel").exists(), "run `make build` first");
    done(Command::new(root().join("package/build")), &[&built, &release], scratch.folder());
    done(Command::new("sha256sum"), &[&"--check", &"SHA256SUMS"], &release);

    let prefix = scratch.path("prefix");
    fs::create_dir(&prefix).expect("a folder");
    let archive = one(&release, ".tar.gz");
    done(Command::new("tar"), &[&"-xzf", &archive, &"--strip-components=1", &"-C", &prefix], scratch.folder());
    tool_works(&prefix, &scratch);

    let deb = scratch.path("deb");
    done(Command::new("dpkg-deb"), &[&"-x", &one(&release, ".deb"), &deb], scratch.folder());
    tool_works(&deb.join("usr"), &scratch);
    let list = files(&prefix, &prefix);
    assert_eq!(list, files(&deb.join("usr"), &deb.join("usr")), "the archive and the .deb");
    for file in ["include/evenkeel.h", "share/man/man1/evenkeel.1", "share/zsh/site-functions/_evenkeel"] {
        assert!(list.iter().any(|f| f == file), "{file} of {list:?}");
    }
    // The wheel's name says which glibc it needs, and so does the README.
    let glibc = done(
        Command::new(root().join("package/glibc")),
        &[&built.join("libevenkeel.so"), &built.join("evenkeel")],
        &release,
    );
    let glibc = glibc.stdout.trim();
    let wheel = one(&release, ".whl");
    let tag = format!("manylinux_{}_{}", glibc.replace('.', "_"), std::env::consts::ARCH);
    assert!(wheel.to_string_lossy().contains(&tag), "{} and glibc {glibc}", wheel.display());
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    assert!(readme.contains(&format!("glibc {glibc} or newer")), "the README and glibc {glibc}");
    a_c_program(&prefix, &scratch);
}

/// `make install` and `make uninstall`, into a folder that is not empty: what was there stays, and nothing else.
#[test]
fn what_is_installed_is_taken_away() {
    let scratch = Scratch::new();
    let built = library().parent().expect("a folder").to_owned();
    let prefix = scratch.path("prefix");
    fs::create_dir_all(prefix.join("share/man")).expect("a folder");
    fs::write(prefix.join("share/mine"), "").expect("a file");
    let install =
        || done(Command::new(root().join("package/install")), &[&"--record", &built, &prefix], scratch.folder());
    // Twice, as when a newer version is installed over one.
    let _ = (install(), install());
    tool_works(&prefix, &scratch);
    done(Command::new(root().join("package/uninstall")), &[&prefix], scratch.folder());
    assert_eq!(files(&prefix, &prefix), ["share/mine"]);
    assert!(
        prefix.join("share/man").is_dir() && !prefix.join("lib").exists() && !prefix.join("share/evenkeel").exists()
    );
}

/// `cc main.c $(pkg-config --cflags --libs evenkeel)`, and it runs.
fn a_c_program(prefix: &Path, scratch: &Scratch) {
    let source = scratch.path("main.c");
    let code = "#include <evenkeel.h>\n#include <stdio.h>\nint main(void) { puts(ek_version()); return ek_install() != EK_E_HOST; }\n";
    fs::write(&source, code).expect("a file is written");
    // As pkg-config does, which need not be installed: the variables of a .pc file are put in their places.
    let folder = prefix.join("lib/pkgconfig");
    let text = fs::read_to_string(folder.join("evenkeel.pc")).expect("a .pc file");
    let mut flags = Vec::new();
    let mut variables = vec![("${pcfiledir}".to_owned(), folder.display().to_string())];
    let expand = |text: &str, variables: &[(String, String)]| {
        variables.iter().rev().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.contains(' ')) {
            let value = expand(value, &variables);
            variables.push((format!("${{{name}}}"), value));
        } else if let Some(value) = line.strip_prefix("Cflags: ").or(line.strip_prefix("Libs: ")) {
            flags.extend(expand(value, &variables).split(' ').map(str::to_owned));
        }
    }
    let program = scratch.path("main");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.arg("-o").arg(&program).arg(&source).args(flags);
    compiler.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()));
    done(compiler, &[], scratch.folder());
    let said = done(Command::new(program), &[], scratch.folder()).stdout;
    assert_eq!(said.trim_end(), env!("CARGO_PKG_VERSION"));
}
