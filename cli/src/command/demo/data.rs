//! What the demo asks, and of which model: one TOML file, and the files beside it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{args, failure::Failure, locate};

/// The built-in demo: its TOML file first, then the files that it names. Empty where this program was built without.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/demo.rs"));
}

/// The demo's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Data {
    /// One line: what is shown.
    pub title: String,
    /// A few lines: what the model is, and what must not be concluded from it.
    pub note: String,
    /// Files that belong to it, relative to this one.
    pub files: Vec<PathBuf>,
    /// The model, one of `files`.
    pub model: PathBuf,
    /// The prompt; `{}` stands for a subject.
    pub prompt: String,
    /// Whom the prompt is about, and the share of the first answer that was planted there, if one was.
    pub subjects: Vec<Subject>,
    /// Two answers, as they follow the prompt (mostly with a space in front). Each must be one token.
    pub answers: [String; 2],
    /// The profile, as text.
    pub profile: String,
    /// Commands or ideas to go on with.
    #[serde(default)]
    pub next: Vec<String>,
    /// A second part: the order of documents.
    pub order: Option<Order>,
    /// A third part: questions of a few labels.
    pub calibration: Option<Calibration>,
    /// A last part: ratings, labels that are numbers. Shown are the questions that `evenkeel calibrate` reports on where it is
    /// given this file alone.
    pub ratings: Option<Calibration>,
}

/// Questions over documents, with the one that has the answer at several places.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// A few lines: what is shown.
    pub note: String,
    /// JSON lines with `prompt`, `answer` (one token, as it follows the prompt), `place` and `group`; one of the demo's files.
    pub questions: PathBuf,
    /// The profile, as text.
    pub profile: String,
}

/// Questions whose answer is one of a few labels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// A few lines: what is shown.
    pub note: String,
    /// Answered examples, as `evenkeel calibrate` reads them; one of the demo's files.
    pub questions: PathBuf,
    /// The answers. The first is the one whose share is shown.
    pub labels: Vec<String>,
    /// The profile, as text.
    pub profile: String,
}

/// One line of the demo's table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What stands in the prompt.
    pub name: String,
    /// The share that was planted.
    pub planted: Option<f64>,
}

/// The demo with its files in place.
pub struct Demo {
    pub data: Data,
    pub model: PathBuf,
    pub profile: PathBuf,
    /// The second part's profile and its questions.
    pub order: Option<[PathBuf; 2]>,
    /// The third part's.
    pub calibration: Option<[PathBuf; 2]>,
    /// The last part's.
    pub ratings: Option<[PathBuf; 2]>,
    /// The profiles were written for this run only, beside files that are the user's.
    passing: bool,
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.passing {
            // Best effort: files of a few lines.
            let parts =
                [&self.order, &self.calibration, &self.ratings].into_iter().flatten().map(|[profile, _]| profile);
            parts.chain([&self.profile]).for_each(|file| drop(std::fs::remove_file(file)));
        }
    }
}

impl Demo {
    /// True if model and profile stay where they are after this run.
    pub fn stays(&self) -> bool {
        !self.passing
    }
}

/// The built-in demo, unpacked into the cache, or the one that was named.
pub fn demo(args: &args::Demo) -> Result<Demo, Failure> {
    let folder = locate::cache()?.join("demo");
    let failed = |e: std::io::Error| {
        Failure::new(format!("{}: {e}", folder.display()))
            .todo("the demo's files go into the cache: set EVENKEEL_CACHE to a folder that can be written to")
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let (data, source) = match &args.data {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("--data {}: {e}", path.display())))?;
            (parse(&text, path)?, path.parent().unwrap_or(Path::new("")).to_owned())
        }
        None => {
            let Some((_, text)) = embedded::FILES.first() else {
                return Err(Failure::usage("this program was built without the demo's model")
                    .todo("name a model with --model GGUF and its questions with --data TOML"));
            };
            for (name, bytes) in embedded::FILES {
                let path = folder.join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(failed)?;
                }
                std::fs::write(path, bytes).map_err(failed)?;
            }
            (parse(&String::from_utf8_lossy(text), Path::new("demo.toml"))?, folder.clone())
        }
    };
    if let Some(missing) = data.files.iter().find(|f| !source.join(f).is_file()) {
        return Err(Failure::usage(format!("the demo's file {} is not there", source.join(missing).display())));
    }
    let model = args.model.clone().unwrap_or_else(|| source.join(&data.model));
    // Beside the vectors, as a profile may only name files below its own folder.
    let write = |name: &str, text: &str| {
        let path = match args.data {
            Some(_) => source.join(format!(".evenkeel-demo-{name}-{}.toml", std::process::id())),
            None => folder.join(format!("{name}.toml")),
        };
        std::fs::write(&path, text)
            .map_err(|e| Failure::new(format!("the profile cannot be written to {}: {e}", path.display())))?;
        path.canonicalize().map_err(failed)
    };
    let profile = write("profile", &data.profile)?;
    let part =
        |name: &str, profile: &str, questions: &Path| Ok::<_, Failure>([write(name, profile)?, source.join(questions)]);
    let order = data.order.as_ref().map(|o| part("order", &o.profile, &o.questions)).transpose()?;
    let calibration = data.calibration.as_ref().map(|c| part("calibrated", &c.profile, &c.questions)).transpose()?;
    let ratings = data.ratings.as_ref().map(|r| part("rated", &r.profile, &r.questions)).transpose()?;
    let passing = args.data.is_some();
    Ok(Demo { data, model, profile, order, calibration, ratings, passing })
}

fn parse(text: &str, path: &Path) -> Result<Data, Failure> {
    let data: Data = toml::from_str(text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    if !data.prompt.contains("{}") {
        return Err(Failure::usage(format!("{}: prompt has no {{}} where the subject stands", path.display())));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_demo_is_whole() {
        let (_, text) = embedded::FILES.first().expect("the demo lies in the source tree");
        let data = parse(&String::from_utf8_lossy(text), Path::new("demo.toml")).unwrap();
        let names: Vec<&Path> = embedded::FILES.iter().skip(1).map(|(n, _)| Path::new(n)).collect();
        assert_eq!(names, data.files);
        assert!(data.files.contains(&data.model) && !data.subjects.is_empty());
    }

    #[test]
    fn a_prompt_needs_a_place_for_the_subject() {
        let text = "title = ''\nnote = ''\nfiles = []\nmodel = ''\nprompt = 'x'\nsubjects = []\nanswers = ['a', 'b']\nprofile = ''";
        assert!(parse(text, Path::new("d.toml")).unwrap_err().to_string().contains("{}"));
    }
}
