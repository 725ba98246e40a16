//! What is compared: the model as it is, with each profile, with random directions in their place, with an instruction.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use evenkeel_core::{asset::Vectors, load::load};
use evenkeel_model::Random;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{command::vector_file, failure::Failure};

/// One way to run the model.
#[derive(Debug, Clone)]
pub struct Arm {
    pub name: String,
    pub way: Way,
    /// Over everything that it depends on.
    pub sha256: String,
}

/// How.
#[derive(Debug, Clone)]
pub enum Way {
    Plain,
    /// Text that stands before each prompt.
    Instruction(String),
    Profile(PathBuf),
    /// A profile of a server, by its name.
    Chosen(String),
    /// The plain model's answers to every order of the options, together.
    Cyclic,
    /// The profile with random directions of the same length.
    Random(PathBuf),
}

/// What kind of arm, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Plain,
    Instruction,
    Profile,
    Cyclic,
    Random,
}

impl Arm {
    pub fn plain() -> Arm {
        Arm { name: "plain".into(), way: Way::Plain, sha256: hash(&[b"plain"]) }
    }

    /// One of several instructions, from 0.
    pub fn instruction(text: &str, number: usize) -> Arm {
        let way = Way::Instruction(text.to_owned());
        let name = if number == 0 { "instruction".into() } else { format!("instruction {}", number + 1) };
        Arm { name, way, sha256: hash(&[b"instruction", text.as_bytes()]) }
    }

    /// A profile that a server offers.
    pub fn chosen(name: &str) -> Arm {
        let way = Way::Chosen(name.to_owned());
        Arm { name: name.to_owned(), way, sha256: hash(&[b"chosen", name.as_bytes()]) }
    }

    pub fn cyclic() -> Arm {
        Arm { name: "cyclic permutation".into(), way: Way::Cyclic, sha256: hash(&[b"cyclic"]) }
    }

    /// A profile, with everything it names.
    pub fn profile(path: &Path) -> Result<Arm, Failure> {
        let loaded = load(path).map_err(|errors| Failure::usage(format!("{errors}")))?;
        let text = std::fs::read(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
        let mut parts = vec![b"profile".to_vec(), text];
        let table: toml::Table = parse(path)?;
        for file in files(&table) {
            let found = path.with_file_name("").join(&file);
            parts.push(std::fs::read(&found).unwrap_or_else(|_| file.into_bytes()));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let name = loaded.profile.name.clone();
        Ok(Arm { name, way: Way::Profile(path.to_owned()), sha256: hash(&parts) })
    }

    /// The same with random directions, written below `folder`. None for a profile without a direction.
    pub fn random(of: &Arm, number: u64, folder: &Path) -> Result<Option<Arm>, Failure> {
        let Way::Profile(path) = &of.way else { return Ok(None) };
        let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", folder.display()));
        let own = folder.join(format!("{}-{number}", of.name));
        std::fs::create_dir_all(&own).map_err(failed)?;
        let mut table = parse(path)?;
        let base = path.with_file_name("");
        let mut any = false;
        let mut copies = BTreeMap::new();
        let rules = table.get_mut("steer").and_then(|s| s.as_array_mut());
        for rule in rules.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
            for key in ["direction", "plane"] {
                let Some(toml::Value::String(file)) = rule.get_mut(key) else { continue };
                let bytes = std::fs::read(base.join(&*file))
                    .map_err(|e| Failure::usage(format!("{}: {file}: {e}", path.display())))?;
                let vectors =
                    evenkeel_core::asset::parse(&bytes).map_err(|e| Failure::usage(format!("{file}: {e}")))?;
                // The same file stands for the same directions, so that rules that belong together still do.
                let next = copies.len();
                let name = copies.entry(file.clone()).or_insert_with(|| format!("random-{next}.gguf")).clone();
                random(&own.join(&name), &vectors, number, file).map_err(failed)?;
                *file = name;
                any = true;
            }
            rule.insert("model-hint".into(), "ignore".into());
            rule.get_mut("when")
                .into_iter()
                .try_for_each(|when| copy(when, &base, &own, &mut copies).map_err(failed))?;
            for key in ["eraser", "feature"] {
                rule.get_mut(key).into_iter().try_for_each(|v| copy(v, &base, &own, &mut copies).map_err(failed))?;
            }
        }
        if !any {
            return Ok(None);
        }
        // Others to choose from are not there.
        table.remove("requests");
        table.remove("route");
        let name = format!("random {} for {}", number + 1, of.name);
        table.insert("name".into(), format!("random-{}", number + 1).into());
        if let Some(runtime) = table.get_mut("runtime").and_then(|r| r.as_table_mut()) {
            runtime.remove("asset-dirs");
        }
        let path = own.join("profile.toml");
        std::fs::write(&path, toml::to_string(&table).map_err(Failure::new)?).map_err(failed)?;
        let sha256 = hash(&[b"random", of.sha256.as_bytes(), &number.to_le_bytes()]);
        Ok(Some(Arm { name, way: Way::Random(path), sha256 }))
    }

    pub fn kind(&self) -> Kind {
        match self.way {
            Way::Plain => Kind::Plain,
            Way::Instruction(_) => Kind::Instruction,
            Way::Profile(_) | Way::Chosen(_) => Kind::Profile,
            Way::Cyclic => Kind::Cyclic,
            Way::Random(_) => Kind::Random,
        }
    }

    /// The profile to load.
    pub fn path(&self) -> Option<&Path> {
        match &self.way {
            Way::Profile(path) | Way::Random(path) => Some(path),
            _ => None,
        }
    }
}

fn parse(path: &Path) -> Result<toml::Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    text.parse().map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
}

/// Keys whose value is a file.
const FILES: [&str; 6] = ["direction", "plane", "eraser", "feature", "probe", "similar-to"];

/// Every file that a table names.
fn files(table: &toml::Table) -> Vec<String> {
    let each = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::String(file) if FILES.contains(&key.as_str()) => vec![file.clone()],
        toml::Value::Table(inner) => files(inner),
        toml::Value::Array(list) => list.iter().filter_map(|v| v.as_table()).flat_map(files).collect(),
        _ => Vec::new(),
    };
    table.iter().flat_map(each).collect()
}

/// Copies the files that a value names, and names the copies.
fn copy(value: &mut toml::Value, base: &Path, to: &Path, copies: &mut BTreeMap<String, String>) -> std::io::Result<()> {
    match value {
        toml::Value::String(file) if !copies.values().any(|name| name == file) => {
            let ending = Path::new(&*file).extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            let name = format!("copy-{}.{ending}", copies.len());
            if base.join(&*file).is_file() {
                std::fs::copy(base.join(&*file), to.join(&name))?;
                copies.insert(format!("copy of {file}"), name.clone());
                *file = name;
            }
            Ok(())
        }
        toml::Value::Array(list) => list.iter_mut().try_for_each(|v| copy(v, base, to, copies)),
        toml::Value::Table(table) => {
            let inner = table.iter_mut().filter(|(key, v)| FILES.contains(&key.as_str()) || !v.is_str());
            inner.map(|(_, v)| v).try_for_each(|v| copy(v, base, to, copies))
        }
        _ => Ok(()),
    }
}

/// Random directions with the lengths of others.
fn random(path: &Path, like: &Vectors, number: u64, name: &str) -> std::io::Result<()> {
    let make = |(layer, own): (&u32, &Vec<f32>)| {
        let mut random = Random::named(number, &format!("{name} {layer}"));
        let v: Vec<f64> = own.iter().map(|_| f64::from(random.normal())).collect();
        let length = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let scale = length(&mut own.iter().map(|x| f64::from(*x))) / length(&mut v.iter().copied());
        (*layer as usize, v.iter().map(|x| (x * scale) as f32).collect())
    };
    let directions = like.layers.iter().map(make).collect();
    vector_file(path, like.model_hint.as_deref().unwrap_or_default(), &directions, &[])
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
