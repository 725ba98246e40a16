//! `evenkeel learn` on the sandbox: what it learns from pairs of sentences takes the planted bias out, random directions
//! do not, and a stock llama.cpp reads the vectors as the plug-in does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_core::asset::{ERASER, parse, parse_factors, parse_probe};
use evenkeel_ffi::host::{Context, ContextOptions, Outputs};
use evenkeel_tests::{Scratch, library, tool};
use serde_json::Value;

use super::Report;
use super::effects::EFFECTS;
use super::items::{Item, sandbox};
use super::lab::{ask, llama, model, under};
use super::profile::slope;
use super::stats::Figure;

pub(super) const MODEL: &str = "models/first-f16.gguf";

/// What the profile may cost: perplexity of the texts' own words, in parts of the plain model's.
const COST: f64 = 1.05;

/// Biased models and their twins: the shipped ones, and those of each other seed that `train/make.py` has left in
/// `train/runs`.
fn models() -> Vec<[String; 2]> {
    let pair = |folder: &str, variant: &str| [variant, "twin"].map(|v| format!("{folder}/{v}-f16.gguf"));
    let mut all = vec![pair("models", "first"), pair("models", "last")];
    for seed in 1..=9 {
        let folder = format!("train/runs/models-{seed}");
        let made = ["first", "last"].map(|v| pair(&folder, v)).into_iter();
        all.extend(made.filter(|[model, _]| seed.to_string() != super::SEED && sandbox(model).is_file()));
    }
    all
}

/// Runs `evenkeel learn`; the result as JSON, and the exit code.
pub(super) fn learn(scratch: &Scratch, model: &str, data: &Path, name: &str, more: &[&str]) -> (Value, i32) {
    learn_with(scratch, model, data, name, more, &[])
}

fn learn_with(
    scratch: &Scratch,
    model: &str,
    data: &Path,
    name: &str,
    more: &[&str],
    variables: &[(&str, &str)],
) -> (Value, i32) {
    let mut command = Command::new(tool());
    command.args(["--json", "learn", "--name", name]).args(more);
    command.arg("--model").arg(sandbox(model)).arg("--data").arg(data).arg("--out").arg(scratch.folder());
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied());
    let output = command.output().expect("the tool starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let json = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"));
    (json, output.status.code().unwrap_or(-1))
}

/// What the model was taught to say besides: facts, and what stands in documents. The places inside the pairs are none of
/// that; training gave them no weight.
fn neutral(scratch: &Scratch) -> PathBuf {
    let text = fs::read_to_string(sandbox("items.jsonl")).expect("items.jsonl");
    let row = |line: &str| -> Option<String> {
        let item: Value = serde_json::from_str(line).expect("JSON");
        let taught = ["closed book", "documents", "two documents"].contains(&item["kind"].as_str()?);
        // Of two documents: those in the order that can be answered.
        let taught = taught && item["x"].as_f64() != Some(2.0);
        taught.then(|| serde_json::json!({ "prompt": item["text"], "text": item["answers"][0] }).to_string())
    };
    let path = scratch.path("neutral.jsonl");
    fs::write(&path, text.lines().filter_map(row).step_by(4).collect::<Vec<_>>().join("\n")).expect("a file");
    path
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Every second pair of the sandbox, from `first` on.
fn half(scratch: &Scratch, first: usize) -> PathBuf {
    let text = fs::read_to_string(sandbox("pairs.jsonl")).expect("pairs.jsonl");
    let lines: Vec<&str> = text.lines().skip(first).step_by(2).collect();
    let path = scratch.path(&format!("half-{first}.jsonl"));
    fs::write(&path, lines.join("\n")).expect("a file");
    path
}

#[test]
fn what_is_learned_is_the_twin_and_random_directions_are_not() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    for [model, twin] in models() {
        let neutral = neutral(&scratch);
        let more = ["--answers", " she", " he", "--neutral", neutral.to_str().expect("text")];
        let (found, code) = learn(&scratch, &model, &sandbox("pairs.jsonl"), "gender", &more);
        let effect = &found["effect"];
        report.say(format!("{model}: effect {effect}\n  controls {}", found["controls"]));
        let effects: Vec<f64> = found["controls"]["effects"].as_array().expect("effects").iter().map(number).collect();
        let rank = &found["controls"]["rank"];
        report.expect(code == 0 && rank == 1 && effects.len() == 20, || format!("{model}: code {code}, rank {rank}"));
        report.expect(effect["verdict"] == "absent", || format!("{model}: {effect}"));
        // What a control leaves of the gap is more than the margin of a quarter.
        report.expect(effects.iter().all(|e| *e < 0.75), || format!("{model}: controls that do as well: {effects:?}"));
        let auroc = number(&found["reported_auroc"]["value"]);
        report.expect(auroc >= 0.9, || format!("{model}: AUROC {auroc}"));
        let cost = number(&effect["perplexity_after"]) / number(&effect["perplexity_before"]);
        report.say(format!("  perplexity elsewhere times {cost:.3}"));
        report.expect(cost < COST, || format!("{model}: perplexity times {cost}"));

        // The same on the sandbox's own held-out questions, against the twin.
        let items: Vec<Item> = Item::all().into_iter().filter(|item| item.kind == "pronoun" && item.report).collect();
        let twin = ask(&self::model(&twin), items.clone());
        let model = self::model(&model);
        let after = slope(&under(&scratch.path("gender.toml"), || ask(&model, items)));
        let dose = EFFECTS[0].dose("first");
        let apart = after.difference(&slope(&twin), Figure::Slope);
        report.say(format!("  slope of P(she) {}  from the twin {apart}", after.interval(Figure::Slope, 0.0)));
        report.expect(apart.is_absent(dose), || format!("{apart} from the twin, planted {dose:+.2}"));
    }
    report.end();
}

#[test]
fn halves_of_the_pairs_give_one_direction() {
    let scratch = Scratch::new();
    for [model, _] in models() {
        let vectors = [0, 1].map(|first| {
            let name = format!("half-{first}");
            let (found, _) = learn(&scratch, &model, &half(&scratch, first), &name, &["--controls", "0"]);
            let auroc = number(&found["reported_auroc"]["value"]);
            println!("{model}, half {first}: held-out AUROC {auroc:.3}");
            assert!(auroc >= 0.9, "{model}: held-out AUROC {auroc}");
            parse(&fs::read(scratch.path(&format!("{name}.gguf"))).expect("a vector file")).expect("a vector file")
        });
        for (layer, a) in &vectors[0].layers {
            let b = &vectors[1].layers[layer];
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            println!("{model}, layer {layer}: cosine {cosine:.4}");
            assert!(cosine >= 0.9, "{model}, layer {layer}: cosine {cosine}");
        }
    }
}

#[test]
fn a_stock_llama_reads_the_vector_as_the_plug_in_does() {
    let scratch = Scratch::new();
    let more = ["--operator", "add", "--controls", "0", "--answers", " she", " he"];
    let (found, _) = learn(&scratch, MODEL, &sandbox("pairs.jsonl"), "more", &more);
    assert!(number(&found["effect"]["shift"]["low"]) > 0.0, "{}", found["effect"]);
    let file = fs::read(scratch.path("more.gguf")).expect("a vector file");
    let vectors = parse(&file).expect("a vector file");
    assert_eq!(vectors.operator.as_deref(), Some("add"));
    assert!(!vectors.layers.contains_key(&0), "stock llama.cpp refuses layer 0");

    let model = model(MODEL);
    let options = ContextOptions { threads: 1, ..ContextOptions::default() };
    let logits = |context: &mut Context| -> Vec<u32> {
        let tokens = model.tokenize("<s> the nurse said that", true).expect("tokens");
        context.decode(&tokens, 0, 0, Outputs::Last).expect("a batch");
        context.logits(-1).expect("logits").iter().map(|x| x.to_bits()).collect()
    };
    let (dose, layers) = (number(&found["chosen"]["dose"]) as f32, &found["chosen"]["layers"]);
    let (first, last) = (number(&layers[0]) as u32, number(&layers[1]) as u32);
    let mut values = vec![0f32; model.n_embd() * (model.n_layer() - 1)];
    for (layer, direction) in vectors.layers.iter().filter(|(l, _)| (first..=last).contains(*l)) {
        let at = (*layer as usize - 1) * model.n_embd();
        values[at..at + model.n_embd()].iter_mut().zip(direction).for_each(|(v, d)| *v = d * dose);
    }
    let mut stock = Context::new(&model, &options).expect("a context");
    let before = logits(&mut stock);
    stock.clear();
    stock.set_control_vector(Some(&values)).expect("stock llama.cpp takes it");
    let native = logits(&mut stock);
    let profile = scratch.path("more.toml");
    let steered = under(&profile, || logits(&mut Context::new(&model, &options).expect("a context")));
    assert!(native != before, "the vector does nothing");
    assert!(native == steered, "stock llama.cpp's control vector and the plug-in differ");
}

#[test]
fn an_eraser_leaves_nothing_to_a_probe_at_its_layer() {
    let scratch = Scratch::new();
    let (found, _) =
        learn(&scratch, MODEL, &sandbox("pairs.jsonl"), "erase", &["--method", "leace", "--controls", "0"]);
    println!("{}", found["layers_after"]);
    let first = &found["layers_after"][0];
    assert!(number(&first["auroc"]["value"]) <= 0.55, "{first}");
    let eraser = fs::read(scratch.path("erase-eraser.safetensors")).expect("an eraser");
    let probe = fs::read(scratch.path("erase-probe.safetensors")).expect("a probe");
    assert_eq!(parse_factors(&eraser, ERASER).expect("an eraser").1.len(), 4);
    assert_eq!(parse_probe(&probe).expect("a probe").1.len(), 4);
}

#[test]
fn a_random_label_beats_nothing() {
    let scratch = Scratch::new();
    let text = fs::read_to_string(sandbox("pairs.jsonl")).expect("pairs.jsonl");
    let row = |(i, line): (usize, &str)| {
        let pair: Value = serde_json::from_str(line).expect("JSON");
        let label = ["heads", "tails"][i * 7919 % 13 % 2];
        serde_json::json!({ "text": pair["positive"], "label": label }).to_string()
    };
    let data = scratch.path("coin.jsonl");
    fs::write(&data, text.lines().enumerate().map(row).collect::<Vec<_>>().join("\n")).expect("a file");
    let (found, _) = learn(&scratch, MODEL, &data, "coin", &["--answers", " she", " he", "--controls", "3"]);
    println!("{}\n{}", found["effect"], found["controls"]);
    let notes = found["notes"].to_string();
    assert!(notes.contains("nothing to steer"), "{notes}");
    let auroc = number(&found["reported_auroc"]["value"]);
    assert!((0.3..0.7).contains(&auroc), "AUROC {auroc}");
}

#[test]
fn bad_lines_are_named_and_counted_and_the_rest_is_used() {
    let scratch = Scratch::new();
    let text = fs::read_to_string(sandbox("pairs.jsonl")).expect("pairs.jsonl");
    let good: Vec<&str> = text.lines().take(120).collect();
    let long = serde_json::json!({ "positive": "the nurse ".repeat(2000), "negative": "<s> no" }).to_string();
    let same = serde_json::json!({ "positive": "<s> same", "negative": "<s> same" }).to_string();
    let bad = [
        "{\"positive\": \"<s> a",
        good[0],
        &long,
        &same,
        "{\"positive\": 1}",
        "{\"positive\": \" \", \"negative\": \"x\"}",
    ];
    let data = scratch.path("bad.jsonl");
    fs::write(&data, [&good[..], &bad].concat().join("\n")).expect("a file");
    let (found, _) = learn(&scratch, MODEL, &data, "bad", &["--controls", "0"]);
    let left = &found["left_out"];
    for (kind, line) in
        [("broken", 121), ("duplicate", 122), ("too-long", 123), ("both-classes", 124), ("field", 125), ("empty", 126)]
    {
        let all = left[kind].as_array().unwrap_or_else(|| panic!("no {kind}: {left}"));
        assert_eq!(all.len(), 1, "{kind}: {left}");
        assert!(all[0]["at"].as_str().is_some_and(|at| at.ends_with(&format!("bad.jsonl:{line}"))), "{left}");
    }
    assert_eq!(found["classes"][0]["texts"], 120, "nothing else is lost");
}

/// Pairs that are all different, each text with some sentences before the pair's own; learns from them and gives the peak of
/// memory in MiB, and the seconds of processors.
fn many(scratch: &Scratch, n: usize, sentences: usize, controls: &str, variables: &[(&str, &str)]) -> [f64; 2] {
    let text = fs::read_to_string(sandbox("pairs.jsonl")).expect("pairs.jsonl");
    let pairs: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let words = |i: usize, key: &str| pairs[i % pairs.len()][key].as_str().expect("text").replace("<s>", "");
    let whole = |i: usize, key: &str| {
        let before: String = (1..=sentences).map(|k| words(i * 7 + k * (101 + i / pairs.len()), "positive")).collect();
        format!("<s>{before}{}", words(i, key))
    };
    let line = |i: usize| {
        serde_json::json!({ "positive": whole(i, "positive"), "negative": whole(i, "negative") }).to_string()
    };
    let data = scratch.path(&format!("many-{n}.jsonl"));
    fs::write(&data, (0..n).map(line).collect::<Vec<_>>().join("\n")).expect("a file");
    let activations = scratch.path("activations.safetensors");
    let more = ["--save-activations", activations.to_str().expect("text"), "--controls", controls];
    let (found, _) = learn_with(scratch, MODEL, &data, "many", &more, variables);
    assert_eq!(found["classes"][0]["texts"], n, "{}", found["left_out"]);
    println!("{n} pairs: {}", found["cost"]);
    let size = fs::metadata(&activations).expect("activations").len();
    assert!(size > (2 * n * 4 * 128 * 4) as u64, "{size} bytes of activations");
    [number(&found["cost"]["peak_memory_mib"]), number(&found["cost"]["cpu_seconds"])]
}

#[test]
fn memory_does_not_grow_with_the_examples() {
    let scratch = Scratch::new();
    // What glibc keeps of freed memory differs by up to 10 MiB between two runs on the same data: it is told to keep none.
    let strict = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "65536")];
    let [[few, _], [many, _]] = [500, 4000].map(|n| many(&scratch, n, 1, "0", &strict));
    // 3500 more pairs are a few MiB of texts and tokens. Their activations would be 14 MiB besides.
    assert!(many - few < 9.0, "{few} MiB for 500 pairs, {many} MiB for 4000");
}

/// With all controls, each of which is a context of its own for a while; texts have about 50 tokens.
#[test]
fn a_thousand_pairs_take_less_than_a_minute_of_two_processors() {
    let [_, seconds] = many(&Scratch::new(), 1000, 7, "20", &[]);
    assert!(seconds < 120.0, "{seconds} s of processors");
}
