//! A suite's file in memory, unpacked where it is packed.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    examples::{Kind, Origin, Problems},
    failure::Failure,
};

/// Largest file, in bytes, also unpacked.
const MAX_BYTES: u64 = 1 << 30;

/// Its text.
pub struct File {
    pub path: PathBuf,
    pub text: String,
    /// Of its bytes as they are on disk.
    pub sha256: String,
}

impl File {
    /// Reads it; a name that ends in .gz is unpacked.
    pub fn read(path: &Path) -> Result<File, Failure> {
        let bad = |why: String| Failure::usage(format!("suite {}: {why}", path.display()));
        if path.is_dir() {
            return Err(bad("is a folder".into()).todo("name one file; --suite may be given several times"));
        }
        let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if path.extension().is_some_and(|e| e == "gz") {
            let mut out = Vec::new();
            let unpacked = flate2::read::GzDecoder::new(&bytes[..]).take(MAX_BYTES + 1).read_to_end(&mut out);
            unpacked.map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
            bytes = out;
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(bad("is larger than 1 GiB".into()));
        }
        let text = String::from_utf8(bytes).map_err(|e| bad(format!("is not UTF-8 text: {e}")))?;
        Ok(File { path: path.to_owned(), text, sha256 })
    }

    /// A place in it.
    pub fn origin(&self, line: usize) -> Origin {
        Origin { file: self.path.clone(), line }
    }

    /// What is wrong with it as a whole.
    pub fn bad(&self, why: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("suite {}: {why}", self.path.display()))
    }

    /// JSON lines, by line number.
    pub fn rows(&self, problems: &mut Problems) -> Vec<(usize, Map<String, Value>)> {
        let mut rows = Vec::new();
        for (i, line) in self.text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(Value::Object(row)) => rows.push((i + 1, row)),
                Ok(_) => problems.add(Kind::Broken, &self.origin(i + 1), "no object"),
                Err(e) => problems.add(Kind::Broken, &self.origin(i + 1), e.to_string()),
            }
        }
        rows
    }

    /// Uses each JSON line, or says why it cannot be used.
    pub fn each<T>(
        &self,
        problems: &mut Problems,
        make: impl Fn(usize, &Map<String, Value>) -> Result<T, String>,
    ) -> Vec<T> {
        let mut out = Vec::new();
        for (line, row) in self.rows(problems) {
            match make(line, &row) {
                Ok(item) => out.push(item),
                Err(why) => problems.add(Kind::Field, &self.origin(line), why),
            }
        }
        out
    }

    /// A file beside it.
    pub fn beside(&self, name: &str) -> Result<String, Failure> {
        let path = self.path.with_file_name(name);
        std::fs::read_to_string(&path).map_err(|e| self.bad(format!("needs {}: {e}", path.display())))
    }
}

/// A text field.
pub fn text(row: &Map<String, Value>, key: &str) -> Result<String, String> {
    match row.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{key}` is no text")),
        None => Err(format!("no `{key}`")),
    }
}

/// A list of texts.
pub fn texts(row: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    let list = row.get(key).and_then(Value::as_array).ok_or_else(|| format!("`{key}` is no list"))?;
    list.iter().map(|v| v.as_str().map(String::from).ok_or_else(|| format!("`{key}` holds more than texts"))).collect()
}

/// A whole number, also as text.
pub fn whole(row: &Map<String, Value>, key: &str) -> Result<usize, String> {
    let value = row.get(key).ok_or_else(|| format!("no `{key}`"))?;
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number.map(|n| n as usize).ok_or_else(|| format!("`{key}` is no whole number"))
}
