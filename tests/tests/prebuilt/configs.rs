//! Every profile in `configs/` (those of its `server` folder: `readme.rs`), on a host: with the files that it names, on a model that it fits, every rule of it acts.

use std::fs;
use std::path::Path;

use evenkeel_core::contrast::Without;
use evenkeel_core::profile::{Condition, Operator, Profile, SteerRule};
use evenkeel_model::{ControlVector, FileType, Shape, random_llama};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Scratch, Setting};

use crate::safetensors::{Tensor, write};

/// A llama with as many layers as the profiles speak of, and a smaller width.
const WIDTH: u32 = 64;

fn shape(layers: u32) -> Shape {
    Shape { layers, embd: WIDTH, heads: 8, kv_heads: 4, ff: 32, vocab: 320, context: 512 }
}

fn noise(seed: u32, n: usize) -> Vec<f32> {
    ControlVector::random("llama", n as u32, 1..2, u64::from(seed)).directions.remove(&1).expect("a direction")
}

/// Tensors `NAME.N` of this shape, for every layer.
fn per_layer(name: &str, shape: &[usize], layers: u32, seed: u32) -> Vec<Tensor> {
    let n = shape.iter().product();
    (0..layers).map(|layer| (format!("{name}.{layer}"), shape.to_vec(), noise(seed + layer, n))).collect()
}

/// A folder for a profile with the files it names.
struct Kit<'a> {
    folder: &'a Path,
    layers: u32,
}

impl Kit<'_> {
    fn put(&self, name: &str, bytes: Vec<u8>) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file is written");
    }

    /// A direction in the format that its name says.
    fn direction(&self, name: &str) {
        let seed: u32 = name.bytes().map(u32::from).sum();
        let vector = ControlVector::random("llama", WIDTH, 0..self.layers, u64::from(seed));
        let rows = |n: u32| (0..n).flat_map(|row| noise(seed + row, WIDTH as usize)).flat_map(f32::to_le_bytes);
        match name.rsplit('.').next() {
            Some("f32") => self.put(name, rows(self.layers).collect()),
            Some("npy") => {
                let n = 13;
                let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {WIDTH}), }}");
                let text = format!("{text:<117}\n");
                let head = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
                self.put(name, head.into_iter().chain(rows(n)).collect());
            }
            _ => {
                fs::create_dir_all(self.folder.join(name).parent().expect("a folder")).expect("a folder");
                vector.write(&self.folder.join(name)).expect("a vector is written");
            }
        }
    }

    fn steer(&self, rule: &SteerRule) {
        let (name, w) = (&rule.direction.value, WIDTH as usize);
        match rule.operator {
            Operator::Affine => {
                let read = per_layer("read", &[2, w], self.layers, 1);
                let parts =
                    [read, per_layer("write", &[2, w], self.layers, 2), per_layer("mean", &[2], self.layers, 3)];
                self.put(name, write(&parts.concat()));
            }
            Operator::Sae { .. } => {
                let encoder = per_layer("encoder", &[w], self.layers, 1);
                let parts =
                    [encoder, per_layer("decoder", &[w], self.layers, 2), per_layer("bias", &[1], self.layers, 3)];
                self.put(name, write(&parts.concat()));
            }
            _ => self.direction(name),
        }
        [&rule.plane, &rule.debias].into_iter().flatten().for_each(|file| self.direction(&file.value));
        for ask in rule.when.iter().flat_map(Condition::asks) {
            if ask.reading.key() == "similar-to" {
                self.direction(&ask.file.value);
            } else {
                let parts = [per_layer("probe", &[w], self.layers, 4), per_layer("bias", &[1], self.layers, 5)];
                self.put(&ask.file.value, write(&parts.concat()));
            }
        }
    }

    fn edit(&self, name: &str) {
        let (w, keys) = (WIDTH as usize, (WIDTH / 2) as usize);
        let pair = |layer: u32| {
            let name = format!("blk.{layer}.attn_k");
            [
                (format!("{name}.a"), vec![2, w], noise(layer, 2 * w)),
                (format!("{name}.b"), vec![keys, 2], noise(layer + 9, 2 * keys)),
            ]
        };
        self.put(name, write(&(0..self.layers).flat_map(pair).collect::<Vec<_>>()));
    }
}

/// The profiles, with widths of real models cut down to this one's.
fn profiles() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut list = vec![];
    for entry in fs::read_dir(folder).expect("the profiles").map(|e| e.expect("a file").path()) {
        if entry.extension().is_some_and(|e| e == "toml") {
            let text = fs::read_to_string(&entry).expect("a profile").replace("4096", &WIDTH.to_string());
            // The markers are no special tokens of this model.
            let text = text.replace("markers-in-text = false", "markers-in-text = true");
            let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
            // Labels are words of a vocabulary: those profiles are tried on the sandbox (`sandbox/calibrate.rs`).
            let mut table: toml::Table = text.parse().expect("TOML");
            let text = if name == "reference.toml" {
                // All keys stand there; this table does not go together with others of it.
                table.remove("contrast").expect("every table");
                toml::to_string(&table).expect("TOML")
            } else {
                text
            };
            match table.remove("calibrate") {
                Some(_) if name != "reference.toml" => {}
                Some(_) => list.push((name, toml::to_string(&table).expect("TOML"))),
                None => list.push((name, text)),
            }
        }
    }
    list.sort();
    list
}

/// A prompt with what is left out: between markers, letter by letter in this model's vocabulary, or an image; or nothing.
fn prompt(without: &Without) -> String {
    let markers = match without {
        Without::Contexts { markers, .. } => markers,
        Without::Image => return "fill 0:0:40,41\nimage 0 0:2:1,2,3\nfeed 0:5:62\n".into(),
        Without::Nothing => return "fill 0:0:40,41,50,51,52\nfeed 0:5:62\n".into(),
    };
    let spelt = |text: &str| text.bytes().map(|byte| format!("{},", 3 + u32::from(byte))).collect::<String>();
    let prompt = format!("40,41,{}50,51,52,{}60,61", spelt(&markers.open), spelt(&markers.close));
    format!("fill 0:0:{prompt}\nfeed 0:{}:62\n", prompt.matches(',').count() + 1)
}

#[test]
fn every_profile_acts() {
    let host = CHost::node_llama_cpp();
    let profiles = profiles();
    assert!(profiles.len() >= 15, "{}", profiles.len());
    let mut operators: Vec<String> = vec![];
    for (name, text) in profiles {
        let scratch = Scratch::new();
        let layers = if text.contains("shape = [43") { 43 } else { 32 };
        let profile = Profile::parse(&text, &name).unwrap_or_else(|e| panic!("{e}"));
        for dir in &profile.runtime.asset_dirs {
            fs::create_dir_all(scratch.path(&dir.value)).expect("a folder");
        }
        let kit = Kit { folder: scratch.folder(), layers };
        profile.steer.iter().for_each(|rule| kit.steer(rule));
        profile.edits.iter().for_each(|rule| kit.edit(&rule.file.value));
        operators.extend(profile.steer.iter().map(|rule| rule.operator.name().to_owned()));
        fs::write(scratch.path(&name), &text).expect("a profile");
        let model = scratch.path("model.gguf");
        random_llama(&shape(layers), FileType::F32, 1, &model, |_, _| {}).expect("a model is written");
        let script = profile.contrast.as_ref().map(|table| prompt(&table.contrast.without));
        let decode = Decode { last_only: true, script, ..Decode::new(&model) };
        // Every key at once is more than the graph of so many layers has room for: there the plan alone is tried.
        let whole = name != "reference.toml";
        let setting = Setting::new().env("EVENKEEL_PROFILE", scratch.path(&name));
        let setting = if whole { setting.env("EVENKEEL_REQUIRE", "1") } else { setting };
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting);
        let (log, n) = (&finished.stderr, profile.steer.len() + profile.heads.len() + profile.edits.len());
        let recording = recording.unwrap_or_else(|| panic!("{name}: {log}"));
        assert!(log.contains(&format!(": {n} of {n} rules act")), "{name}: {log}");
        if !whole {
            continue;
        }
        assert!(!log.contains("evenkeel: error") && !log.contains("evenkeel: warning"), "{name}: {log}");
        // A rule that waits for its strength, or for a row that meets its condition, may change nothing.
        let waits = |rule: &SteerRule| rule.when.is_some() || rule.adjustable && rule.strength.value == 0.0;
        if profile.routes.is_empty() && !profile.steer.iter().any(waits) {
            assert!(recording.rows != host.plain(&decode).rows, "{name} changes something");
        }
    }
    operators.sort();
    operators.dedup();
    assert_eq!(operators, ["add", "affine", "clamp", "project", "rotate", "sae"], "a profile for each operator");
}
