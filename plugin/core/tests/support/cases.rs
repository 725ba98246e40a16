//! Golden cases: `NAME.toml`, and beside it the text that it must lead to.

use std::path::{Path, PathBuf};

use evenkeel_core::{model::ModelFacts, vocabulary::Vocabulary};

use super::folder::Folder;
use super::vectors;

/// A folder with the vector files of all cases and a place for a profile.
pub struct Sandbox {
    pub folder: Folder,
    outside: Folder,
}

impl Sandbox {
    pub fn new() -> Self {
        let (folder, outside) = (Folder::new(), Folder::new());
        vectors::write(&folder);
        let file = outside.write("outside.gguf", b"GGUF");
        #[cfg(unix)]
        vectors::write_links(&folder, &file);
        Self { folder, outside }
    }

    /// Puts a case's profile beside the vectors.
    pub fn put(&self, case: &Path) -> PathBuf {
        let text = std::fs::read_to_string(case).unwrap().replace("$OUTSIDE", &self.outside.path().to_string_lossy());
        self.folder.write(&case.file_name().unwrap().to_string_lossy(), text)
    }

    /// A message without this machine's folders.
    pub fn plain(&self, text: &str) -> String {
        let inside = self.folder.path().to_string_lossy();
        let text = text.replace(&format!("{inside}/"), "").replace(&*inside, ".");
        text.replace(&*self.outside.path().to_string_lossy(), "$OUTSIDE")
    }
}

/// The profiles of `tests/cases/KIND`, by name.
pub fn list(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(kind);
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    cases.sort();
    cases
}

/// The model of a case: a llama of 6 layers and width 8, or what its line `# model: ARCH LAYERS WIDTH` says.
pub fn model(case: &Path) -> ModelFacts {
    let text = std::fs::read_to_string(case).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("# model: ")).unwrap_or("llama 6 8");
    let words: Vec<_> = line.split(' ').collect();
    ModelFacts {
        arch: words[0].to_owned(),
        n_layer: words[1].parse().unwrap(),
        n_embd: words[2].parse().unwrap(),
        n_head: Some(2),
        name: None,
    }
}

/// The tokens of every case's model: as many as the toy graph's logits have.
pub fn vocabulary() -> Vocabulary {
    let answers = ["<s>", "yes", " yes", "Yes", "no", " no", "A", " A", "a", "B", " B", "1", "2", "3", "4", "5"];
    let rest = (answers.len()..512).map(|i| format!(" word{i}"));
    Vocabulary::new(answers.map(String::from).into_iter().chain(rest))
}

/// Compares a text with the one beside the case, or writes it if `BLESS=1`. Returns the difference.
pub fn compare(case: &Path, ending: &str, text: &str) -> Option<String> {
    let golden = case.with_extension(ending);
    let text = format!("{text}\n");
    if std::env::var_os("BLESS").is_some_and(|v| v == "1") {
        std::fs::write(golden, text).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    (expected != text).then(|| format!("{}\n--- expected\n{expected}--- got\n{text}", golden.display()))
}
