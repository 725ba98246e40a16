//! One ELF file.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use goblin::elf::{Elf, dynamic, header, reloc, sym};

/// How a file refers to a function of another file, or of its own through the same mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Import {
    /// By an entry of the procedure linkage table.
    Plt,
    /// By a pointer that the loader fills in.
    Pointer,
}

/// Files larger than this are not read: no llama.cpp library of interest is.
const LARGEST: u64 = 512 << 20;

/// What was read of one file.
#[derive(Debug, Clone)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Starts as a program, and not only as a library.
    pub program: bool,
    /// The loader it asks for; None for libraries and static programs.
    pub interpreter: Option<String>,
    /// `x86_64`, `aarch64` or the number of another machine.
    pub machine: String,
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// `DT_RUNPATH` or `DT_RPATH`, `$ORIGIN` replaced.
    pub runpath: Vec<PathBuf>,
    /// Dynamic symbols that it defines.
    pub defined: BTreeSet<String>,
    /// Functions it has inside and does not export, as far as its symbol table tells.
    pub inside: BTreeSet<String>,
    /// Functions that it calls by way of the loader.
    pub imports: BTreeMap<String, Import>,
    /// Its own symbols win over others' (`-Bsymbolic`), so that preloading does not reach its own calls.
    pub symbolic: bool,
    /// It runs with other rights than its user's, so that the loader ignores `LD_PRELOAD`.
    pub privileged: bool,
    /// Texts of llama.cpp are in it, though no symbol is.
    pub mentions_llama: bool,
}

/// Why a file could not be read as ELF.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No ELF file; says what it is instead, if that is clear.
    #[error("{path}: is {found}, not a Linux program or library", path = path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// Damaged or too large.
    #[error("{path}: cannot be read as ELF: {why}", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Image {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Image, ImageError> {
        let io = |source| ImageError::Io { path: path.to_owned(), source };
        let broken = |why: String| ImageError::Broken { path: path.to_owned(), why };
        let mut file = std::fs::File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(ImageError::NotElf { path: path.to_owned(), found: "no regular file".into() });
        }
        if meta.len() > LARGEST {
            return Err(broken(format!("{} MiB is more than is read here", meta.len() >> 20)));
        }
        let mut bytes = Vec::with_capacity(meta.len() as usize);
        file.read_to_end(&mut bytes).map_err(io)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ImageError::NotElf { path: path.to_owned(), found: kind_of(&bytes) });
        }
        let elf = Elf::parse(&bytes).map_err(|e| broken(e.to_string()))?;
        Ok(Image { privileged: meta.permissions().mode() & 0o6000 != 0, ..of(path, &elf, &bytes) })
    }
}

fn of(path: &Path, elf: &Elf, bytes: &[u8]) -> Image {
    let origin = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let origin = origin.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    let paths = if elf.runpaths.is_empty() { &elf.rpaths } else { &elf.runpaths };
    let expand = |p: &str| PathBuf::from(p.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));

    let mut imports = BTreeMap::new();
    let (plt, pointer) = match elf.header.e_machine {
        header::EM_AARCH64 => (reloc::R_AARCH64_JUMP_SLOT, reloc::R_AARCH64_GLOB_DAT),
        _ => (reloc::R_X86_64_JUMP_SLOT, reloc::R_X86_64_GLOB_DAT),
    };
    for r in elf.pltrelocs.iter().chain(&elf.dynrelas) {
        let kind = match r.r_type {
            t if t == plt => Import::Plt,
            t if t == pointer => Import::Pointer,
            _ => continue,
        };
        if let Some(name) = elf.dynsyms.get(r.r_sym).and_then(|s| elf.dynstrtab.get_at(s.st_name)) {
            imports.entry(name.to_owned()).or_insert(kind);
        }
    }
    let dynamic: &[dynamic::Dyn] = elf.dynamic.as_ref().map_or(&[], |d| &d.dyns);
    // The older tag has no value, it is there or not.
    let is_symbolic = |e: &dynamic::Dyn| match e.d_tag {
        dynamic::DT_FLAGS => e.d_val & dynamic::DF_SYMBOLIC != 0,
        tag => tag == dynamic::DT_SYMBOLIC,
    };
    let ours =
        |name: &&str| name.starts_with("llama_") || name.starts_with("ggml_") || name.starts_with("_ZNK11llama_");
    let functions = |s: &sym::Sym| s.st_shndx != 0 && s.st_type() == sym::STT_FUNC;
    let defined: BTreeSet<String> = (elf.dynsyms.iter())
        .filter(|s| s.st_shndx != 0 && [sym::STB_GLOBAL, sym::STB_WEAK].contains(&s.st_bind()))
        .filter_map(|s| elf.dynstrtab.get_at(s.st_name).map(str::to_owned))
        .collect();
    let inside: BTreeSet<String> = (elf.syms.iter())
        .filter(functions)
        .filter_map(|s| elf.strtab.get_at(s.st_name))
        .filter(ours)
        .filter(|name| !defined.contains(*name))
        .map(str::to_owned)
        .collect();
    let known = defined.contains("llama_decode") || inside.contains("llama_decode");
    Image {
        path: path.to_owned(),
        program: elf.entry != 0 && (elf.interpreter.is_some() || elf.header.e_type == header::ET_EXEC),
        interpreter: elf.interpreter.map(str::to_owned),
        machine: match elf.header.e_machine {
            header::EM_X86_64 => "x86_64".into(),
            header::EM_AARCH64 => "aarch64".into(),
            other => format!("machine {other}"),
        },
        needed: elf.libraries.iter().map(|l| (*l).to_owned()).collect(),
        runpath: paths.iter().flat_map(|p| p.split(':')).filter(|p| !p.is_empty()).map(expand).collect(),
        mentions_llama: !known && !imports.contains_key("llama_decode") && mentions(bytes),
        symbolic: dynamic.iter().any(is_symbolic),
        privileged: false,
        defined,
        inside,
        imports,
    }
}

/// True if a text stands in the file that llama.cpp prints and others do not.
fn mentions(bytes: &[u8]) -> bool {
    // Put together here, so that this program does not contain them.
    let texts = ["llama_init_from_model", "llama_model_loader"].map(|name| [name, ": "].concat());
    let has = |text: &String| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    bytes.len() > 1 << 20 && texts.iter().any(has)
}

/// What a file is, for people who named the wrong one.
fn kind_of(bytes: &[u8]) -> String {
    match bytes {
        [] => "empty".into(),
        b if b.starts_with(b"#!") => {
            let line = b.split(|&c| c == b'\n').next().unwrap_or(b);
            format!("a script for {}", String::from_utf8_lossy(&line[2..]).trim())
        }
        b if b.starts_with(b"GGUF") => "a model".into(),
        b if b.starts_with(b"MZ") => "a Windows program".into(),
        b if b.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) || b.starts_with(&[0xca, 0xfe, 0xba, 0xbe]) => {
            "a macOS program".into()
        }
        b if b.starts_with(b"!<arch>") => "a static library".into(),
        _ => "some other file".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_program() {
        let image = Image::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(image.program && image.interpreter.is_some());
        assert!(image.needed.iter().any(|n| n.starts_with("libc.so")), "{:?}", image.needed);
        assert!(!image.mentions_llama);
    }

    #[test]
    fn says_what_a_wrong_file_is() {
        assert_eq!(kind_of(b"#!/bin/sh\nexit"), "a script for /bin/sh");
        assert_eq!(kind_of(b"GGUF\x03"), "a model");
        assert_eq!(kind_of(b""), "empty");
    }
}
