//! Models asked through a stock llama.cpp.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use evenkeel_ffi::host::{Context, ContextOptions, Llama, Model, ModelOptions, Plugin, Row};
use evenkeel_tests::host::libraries;
use evenkeel_tests::library;

use super::items::{Item, sandbox};

/// Prompts of one length that are evaluated together.
const TOGETHER: usize = 16;

/// An item and what a model answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub item: Item,
    /// The probability of each of its answers.
    pub p: Vec<f64>,
    /// The first of its answers is the most probable of all tokens.
    pub best: bool,
}

/// The models that are measured.
pub const VARIANTS: [&str; 3] = ["first", "last", "twin"];

/// The libraries that the npm package `@node-llama-cpp/linux-x64` ships.
pub fn llama() -> &'static Llama {
    static LLAMA: OnceLock<Llama> = OnceLock::new();
    LLAMA.get_or_init(|| {
        let library = libraries::find(&libraries::node_llama_cpp(), "llama");
        Llama::open(&library).expect("a stock llama.cpp")
    })
}

/// A model of the sandbox.
pub fn model(file: &str) -> Model {
    Model::load(llama(), &sandbox(file), ModelOptions::default()).expect("a model")
}

/// What a variant answers without the plug-in: everything for the twin, and what shows a bias for the others. Asked
/// once, before anything of evenkeel is loaded.
pub fn plain(variant: &str) -> &'static [Asked] {
    static PLAIN: OnceLock<Vec<Vec<Asked>>> = OnceLock::new();
    let all = PLAIN.get_or_init(|| {
        let items = Item::all();
        let task = |item: &Item| match item.kind.as_str() {
            "documents" | "two documents" | "closed book" => true,
            "yes/no" | "letters" => item.x != 0.0,
            _ => false,
        };
        let measure = &|variant: &&str| {
            let wanted = items.iter().filter(|item| *variant == "twin" || !task(item));
            ask(&model(&format!("models/{variant}-f16.gguf")), wanted.cloned().collect())
        };
        thread::scope(|scope| {
            let asking = VARIANTS.each_ref().map(|variant| scope.spawn(move || measure(variant)));
            asking.map(|thread| thread.join().expect("answers")).into()
        })
    });
    let at = VARIANTS.iter().position(|name| *name == variant).expect("a variant");
    &all[at]
}

/// Does something under a profile, which is that of the whole process: one at a time. What the models answer without it
/// is asked before.
pub fn under<T>(profile: &Path, work: impl FnOnce() -> T) -> T {
    hooked(Some(profile), |_| work())
}

/// The same with the plug-in, under a profile or none.
pub fn hooked<T>(profile: Option<&Path>, work: impl FnOnce(&Plugin) -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    VARIANTS.iter().for_each(|variant| {
        plain(variant);
    });
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plugin = Plugin::load(&library()).expect("the plug-in");
    plugin.install().expect("llama.cpp is hooked");
    plugin.load_profile(profile).expect("a profile");
    let done = work(&plugin);
    plugin.load_profile(None).expect("no profile");
    done
}

/// Asks a model, on one thread. The answers are in another order than the items.
pub fn ask(model: &Model, items: Vec<Item>) -> Vec<Asked> {
    ask_by(model, items, TOGETHER)
}

/// The same with as many prompts in a batch.
pub fn ask_by(model: &Model, items: Vec<Item>, together: usize) -> Vec<Asked> {
    let mut questions: Vec<_> = items.into_iter().map(|item| (item.prompt(model), item)).collect();
    questions.sort_by_key(|(prompt, _)| prompt.len());
    let longest = questions.last().map_or(1, |(prompt, _)| prompt.len());
    let cells = longest.next_multiple_of(256);
    let options = ContextOptions {
        n_ctx: (together * cells) as u32,
        n_batch: (together * longest) as u32,
        n_ubatch: (together * longest) as u32,
        n_seq_max: together as u32,
        threads: 1,
        ..ContextOptions::default()
    };
    let mut context = Context::new(model, &options).expect("a context");
    let same = questions.chunk_by(|(a, _), (b, _)| a.len() == b.len());
    let mut asked = Vec::with_capacity(questions.len());
    for group in same.flat_map(|equal| equal.chunks(together)) {
        let rows = group.iter().enumerate().flat_map(|(seq, (prompt, _))| {
            let row = move |(pos, token): (usize, &i32)| Row {
                token: *token,
                pos: pos as i32,
                seq: seq as i32,
                output: pos + 1 == prompt.len(),
            };
            prompt.iter().enumerate().map(row)
        });
        let rows: Vec<Row> = rows.collect();
        context.clear();
        context.decode_rows(&rows).expect("a batch");
        let last = rows.iter().enumerate().filter(|(_, row)| row.output).map(|(at, _)| at as i32);
        for (at, (_, item)) in last.zip(group) {
            asked.push(answer(model, item.clone(), context.logits(at).expect("logits")));
        }
    }
    asked
}

fn answer(model: &Model, item: Item, logits: &[f32]) -> Asked {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(top.is_finite(), "a logit is not finite");
    let mass: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    let at: Vec<f32> = item.answer_tokens(model).iter().map(|token| logits[*token as usize]).collect();
    let p = at.iter().map(|logit| f64::from(logit - top).exp() / mass).collect();
    Asked { best: at[0] == top, p, item }
}
