//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::{
    capture::At,
    command::{Measured, Method, Operator, When},
    suite::Named,
};

/// Steers llama.cpp programs that nobody rebuilt. This tool checks profiles, finds out what a program allows, and
/// shows what a profile does.
#[derive(Parser, Debug)]
#[command(name = "evenkeel", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Start with `evenkeel demo`, then `evenkeel doctor PROGRAM` for the program you use.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check a profile and its vectors; with a model, also whether they fit it
    Check(Check),
    /// Show, layer by layer, what a profile does to a model
    Plan(Plan),
    /// Find out whether a program, library or running process can be steered, and how
    Doctor(Doctor),
    /// Explain a key of the profile
    Explain(Explain),
    /// Run the same prompt without and with a profile, side by side
    Run(Run),
    /// Learn a direction from examples, choose layers and strength by what they do, and write a profile
    Learn(Learn),
    /// As `learn heads`: find attention heads that push to one of two answers, and write a profile that scales them
    #[command(name = "learn-heads")]
    LearnHeads(LearnHeads),
    /// Measure a model's biases without and with profiles, and what became of everything else
    Audit(Audit),
    /// Fit the calibration of a model's answers on examples, and show what it does
    Calibrate(Calibrate),
    /// Make one page of the results of learn, audit and calibrate
    Report(Report),
    /// Watch the counters of running programs: who is steered by what
    Top(Top),
    /// Measure what steering costs
    Bench(Bench),
    /// Show in half a minute what a profile does to a biased model
    Demo(Demo),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the manual pages into a folder (for packages)
    #[command(hide = true)]
    Manual(Manual),
    /// Prove in this process that a library is laid out as evenkeel expects (doctor's child)
    #[command(hide = true, name = "self-test")]
    SelfTest(SelfTest),
}

/// `check`
#[derive(Args, Debug)]
pub struct Check {
    /// The profile
    #[arg(value_hint = ValueHint::FilePath)]
    pub profile: PathBuf,
    /// Also check against this model; only its header is read
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
    /// Show how the prompt in this file is cut into prefix, segments and suffix, or what is left without its contexts; llama.cpp
    /// reads the model's vocabulary
    #[arg(long, value_name = "FILE", requires = "model", value_hint = ValueHint::FilePath)]
    pub prompt: Option<PathBuf>,
    #[command(flatten)]
    pub llama: LlamaChoice,
}

/// `plan`
#[derive(Args, Debug)]
pub struct Plan {
    /// The profile
    #[arg(value_hint = ValueHint::FilePath)]
    pub profile: PathBuf,
    /// The model; only its header is read
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
}

/// `doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// A program, a library, a folder of libraries, or the number of a running process; nothing: the llama.cpp that
    /// the other commands would use
    #[arg(value_name = "PROGRAM|LIBRARY|PID", value_hint = ValueHint::AnyPath)]
    pub target: Option<PathBuf>,
    #[command(flatten)]
    pub llama: LlamaChoice,
    #[command(flatten)]
    pub plugin: PluginChoice,
}

/// `explain`
#[derive(Args, Debug)]
pub struct Explain {
    /// A key, for example `steer.strength`; nothing: all of them
    pub key: Option<String>,
}

/// `run`
#[derive(Args, Debug)]
pub struct Run {
    /// The model
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// The profile
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub profile: PathBuf,
    #[command(flatten)]
    pub prompt: Prompt,
    /// Tokens to generate
    #[arg(short, long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub n: u32,
    /// Put the prompt into the model's own chat template
    #[arg(long)]
    pub chat: bool,
    /// Take the likeliest token each time (the default unless --temperature is given)
    #[arg(long, conflicts_with = "temperature")]
    pub greedy: bool,
    /// Draw tokens instead, at this temperature, with the same random numbers on both sides
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub temperature: Option<f32>,
    /// Where the random numbers start
    #[arg(long, default_value_t = 1, requires = "temperature")]
    pub seed: u64,
    /// Candidates to show where the two first differ
    #[arg(long, value_name = "K", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub top: u32,
    #[command(flatten)]
    pub host: HostChoice,
}

fn temperature(text: &str) -> Result<f32, String> {
    let allowed = |t: &f32| t.is_finite() && *t > 0.0;
    text.parse().ok().filter(allowed).ok_or_else(|| "a number above 0 is wanted; leave it out for the likeliest".into())
}

/// Where the prompt comes from.
#[derive(Args, Debug)]
#[group(required = false, multiple = false)]
pub struct Prompt {
    /// The prompt
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// A file that holds the prompt
    #[arg(short, long, value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `learn heads`
#[derive(Args, Debug)]
pub struct LearnHeads {
    /// The model
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// Questions with answers, both about as often: a line of JSON each, {"prompt": "...", "answer": "yes", "group": "..."}
    #[arg(short, long, value_name = "JSONL", value_hint = ValueHint::FilePath)]
    pub data: PathBuf,
    /// The two answers
    #[arg(long, value_delimiter = ',', default_value = "yes,no")]
    pub labels: Vec<String>,
    /// The one that heads may push to [default: the second]
    #[arg(long, value_name = "LABEL")]
    pub pushes: Option<String>,
    /// Accuracy that scaling heads may cost
    #[arg(long, value_name = "PART", default_value_t = 0.02)]
    pub max_loss: f64,
    /// Random orders of heads that go through the same choice
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub controls: u32,
    /// Put prompts into the model's own chat template
    #[arg(long)]
    pub chat: bool,
    /// The longest prompt in tokens [default: what the model was trained on, at most 2048]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Folder for what is written
    #[arg(short, long, value_name = "FOLDER", default_value = "learned", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Name of the profile and its files [default: as the questions' file, and heads]
    #[arg(long, value_parser = profile_name)]
    pub name: Option<String>,
    /// Where the random numbers of the controls start
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub host: HostChoice,
}

/// `learn`
#[derive(Args, Debug)]
pub struct Learn {
    /// The model
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// Examples: .jsonl, .csv or .tsv with `positive` and `negative`, or `text` and `label`; besides `prompt` and `group`
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub data: Option<PathBuf>,
    /// In place of --data: a file with one prompt per line, as llama.cpp's cvector-generator takes it
    #[arg(long, value_name = "FILE", requires = "negative", conflicts_with = "data", value_hint = ValueHint::FilePath)]
    pub positive: Option<PathBuf>,
    /// The prompts that those are compared with, line by line
    #[arg(long, value_name = "FILE", requires = "positive", value_hint = ValueHint::FilePath)]
    pub negative: Option<PathBuf>,
    /// The label that stands for the positive class [default: of two, the later in the alphabet]
    #[arg(long, requires = "data")]
    pub label: Option<String>,
    /// Put the texts, or the prompts before them, into the model's own chat template
    #[arg(long)]
    pub chat: bool,
    /// Which tokens are read
    #[arg(long, value_enum, default_value = "last")]
    pub at: At,
    /// How the direction is found
    #[arg(long, value_enum, default_value = "mean")]
    pub method: Method,
    /// For --method sae: the autoencoder, a safetensors file with W_enc, b_enc and W_dec
    #[arg(long, value_name = "FILE", requires = "sae_layer", value_hint = ValueHint::FilePath)]
    pub sae: Option<PathBuf>,
    /// The layer whose output it reads, counted from 0 (hook_resid_post of that layer, hook_resid_pre of the next)
    #[arg(long, value_name = "N", requires = "sae")]
    pub sae_layer: Option<u32>,
    /// What the rule does with it [default: project, or what the method gives]
    #[arg(long, value_enum)]
    pub operator: Option<Operator>,
    /// For add and rotate: which class the model is steered to
    #[arg(long, value_enum, default_value = "positive")]
    pub toward: Toward,
    /// The rule acts only where a row is of the positive class, as this tells
    #[arg(long, value_enum)]
    pub when: Option<When>,
    /// Two words that may follow, each one token: what is measured is the share of the first [default: the tokens by which
    /// the classes differ most]
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    pub answers: Option<Vec<String>>,
    /// Texts on which nothing should change: one per line, or .jsonl with `text` and, where only that counts as what is said,
    /// a `prompt` before it [default: what stands inside the examples]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub neutral: Option<PathBuf>,
    /// Most divergence there, in nats per token
    #[arg(long, value_name = "NATS", default_value_t = 0.5)]
    pub max_kl: f64,
    /// What counts as nothing left, in parts of the gap before
    #[arg(long, value_name = "PART", default_value_t = 0.25)]
    pub margin: f64,
    /// Random directions that go through the same selection
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub controls: u32,
    /// Folder for what is written
    #[arg(short, long, value_name = "FOLDER", default_value = "learned", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Name of the profile and its files [default: as the examples' file]
    #[arg(long, value_parser = profile_name)]
    pub name: Option<String>,
    /// Keep the captured activations: a safetensors file with `layer.N`, a row per text; its metadata have a digit per row
    /// for the class (1 positive) and the part (0 fitted, 1 chosen on, 2 reported)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub save_activations: Option<PathBuf>,
    /// The longest text in tokens [default: what the model was trained on, at most 2048]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Where the random numbers of the split and the controls start
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub host: HostChoice,
}

/// `audit`
#[derive(Args, Debug)]
pub struct Audit {
    /// The model
    #[arg(short, long, value_name = "GGUF", required_unless_present = "endpoint", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
    /// In place of a model file: a running OpenAI-compatible server, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", conflicts_with_all = ["model", "profile"], value_hint = ValueHint::Url)]
    pub endpoint: Option<String>,
    /// The model's name there [default: the first that the server lists]
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub endpoint_model: Option<String>,
    /// The key that the server wants
    #[arg(long, value_name = "KEY", requires = "endpoint", env = "EVENKEEL_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Certificates (PEM) that are trusted in place of the usual ones, for https with a certificate of one's own: the server's, or its issuer's
    #[arg(long, value_name = "PEM", requires = "endpoint", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// A profile to compare that an evenkeel server offers (`[requests] choose`). May be given several times
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub choose: Vec<String>,
    /// Likeliest tokens that the server is asked for at each place; fewer if it refuses
    #[arg(long, value_name = "K", default_value_t = 200, requires = "endpoint", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub top: u32,
    /// A suite in its published format: bbq, winobias, winogender, crows-pairs, stereoset, llmbar, choice, yes-no,
    /// key-value, letters (the model writes them), letters-given (they are in the file), refusals, jsonl. May be given several times
    #[arg(short, long, value_name = "FORMAT=PATH", required_unless_present = "representation")]
    pub suite: Vec<Named>,
    /// What a model's insides say, without a test set: seat (word or sentence association), bias-lens (concepts), ches
    /// (preference pairs). May be given several times
    #[arg(long, value_name = "MEASURE=PATH", conflicts_with = "endpoint")]
    pub representation: Vec<Measured>,
    /// A profile to compare with the plain model, by itself: `[requests]` and `[[route]]` do not count. May be given several times
    #[arg(short, long, value_hint = ValueHint::FilePath)]
    pub profile: Vec<PathBuf>,
    /// Random directions of the same length in the place of each profile's
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub random: u32,
    /// Also compare with this text before each prompt. May be given several times
    #[arg(long, value_name = "TEXT")]
    pub instruction: Vec<String>,
    /// Texts that every arm continues, to be read side by side
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub examples: u32,
    /// Items per suite, at most; whole groups, evenly taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Texts on which nothing should change: one per line, or .jsonl with `text` and, where only that counts as what is said,
    /// a `prompt` before it [default: some of the prompts]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub neutral: Option<PathBuf>,
    /// A bias within this of none counts as none, in the figure's own units
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    pub margin: f64,
    /// Put prompts into the model's own chat template
    #[arg(long)]
    pub chat: bool,
    /// The longest prompt in tokens [default: what the model was trained on, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Folder for the results; an audit that was interrupted goes on there
    #[arg(short, long, value_name = "FOLDER", default_value = "audit", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Measure everything anew
    #[arg(long)]
    pub fresh: bool,
    #[command(flatten)]
    pub host: HostChoice,
}

/// `calibrate`
#[derive(Args, Debug)]
pub struct Calibrate {
    /// The model
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// The answers, for example yes,no
    #[arg(long, value_delimiter = ',', required = true)]
    pub labels: Vec<String>,
    /// How
    #[arg(long, value_enum)]
    pub method: CalibrateMethod,
    /// What to fit on: a line of JSON each, {"prompt": "...", "answer": "yes", "group": "..."}. For contextual prompts
    /// without content, for batch any, both without answers
    #[arg(long, value_name = "JSONL", value_hint = ValueHint::FilePath)]
    pub examples: PathBuf,
    /// What to report on, with answers [default: half of the examples, which are then not fitted on]
    #[arg(long, value_name = "JSONL", value_hint = ValueHint::FilePath)]
    pub test: Option<PathBuf>,
    /// For contextual and affine: on the probabilities, as Zhao et al. 2021 do, instead of their logarithms
    #[arg(long)]
    pub zhao: bool,
    /// Leave rows alone on which the labels together are not more probable than this
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = label_mass)]
    pub min_label_mass: f64,
    /// Put prompts into the model's own chat template
    #[arg(long)]
    pub chat: bool,
    /// The longest prompt in tokens [default: what the model was trained on, at most 2048]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Folder for what is written
    #[arg(short, long, value_name = "FOLDER", default_value = "calibrated", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Name of the profile and its files [default: as the examples' file, and the method]
    #[arg(long, value_parser = profile_name)]
    pub name: Option<String>,
    #[command(flatten)]
    pub host: HostChoice,
}

/// Methods that [`Calibrate`] fits.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrateMethod {
    /// A scale and an offset per label (vector scaling), of the least loss on answered examples
    Affine,
    /// A temperature, of the least loss on answered examples
    Temperature,
    /// Divide by the answers to prompts without content
    Contextual,
    /// Divide by the mean answer to the examples
    Batch,
    /// A line that undoes what ratings shrink by
    Linear,
    /// A curve that does so, by Tweedie's formula
    Tweedie,
}

/// What was typed, where a command of two words is one: `learn heads` is `learn-heads`.
pub fn joined(mut typed: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let command = typed.iter().skip(1).position(|word| !word.as_encoded_bytes().starts_with(b"-")).map(|at| at + 1);
    if let Some(at) = command
        && typed[at] == "learn"
        && typed.get(at + 1).is_some_and(|next| next == "heads")
    {
        typed.splice(at..at + 2, ["learn-heads".into()]);
    }
    typed
}

impl CalibrateMethod {
    /// The word in the profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Temperature => "temperature",
            Self::Contextual => "contextual",
            Self::Batch => "batch",
            Self::Linear => "linear",
            Self::Tweedie => "tweedie",
        }
    }
}

fn label_mass(text: &str) -> Result<f64, String> {
    let mass = text.parse().ok().filter(|m| (0.0..=0.999).contains(m));
    mass.ok_or_else(|| "a number from 0 to 0.999".into())
}

/// `report`
#[derive(Args, Debug)]
pub struct Report {
    /// Results: the .json files that learn, audit and calibrate wrote
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub results: Vec<PathBuf>,
    /// The page; its text is written beside it as Markdown
    #[arg(short, long, default_value = "report.html", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Toward {
    Positive,
    Negative,
}

fn profile_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = (1..=48).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.');
    if good { Ok(text.to_owned()) } else { Err("1 to 48 letters, digits, '-', '_' or '.'".into()) }
}

/// `top`
#[derive(Args, Debug)]
#[command(
    after_help = "A program writes its counters where EVENKEEL_STATS=1 is set beside EVENKEEL_PROFILE, once a second \
    while it evaluates tokens."
)]
pub struct Top {
    /// Only this process
    pub pid: Option<u32>,
    /// Look once and end; takes a second where something runs, because rates need two looks. So it is with --json, and
    /// where the output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// The folder that EVENKEEL_STATS names, where it is not 1
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

/// `bench`
#[derive(Args, Debug)]
pub struct Bench {
    /// Measure on this model instead of one with random weights
    #[arg(short, long, value_name = "GGUF", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
    /// Blocks per case, each compared with the plain block beside it [default: 40; prompts with segments: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub pairs: Option<u32>,
    /// A tiny model and few blocks: whether it works, not how fast it is
    #[arg(long, conflicts_with = "model")]
    pub quick: bool,
    /// Only these parts [default: all but segments and contrast]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    pub only: Vec<BenchPart>,
    /// How many documents of 100 tokens the prompts of `--only segments` have [default: 2,5,10,20]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=64))]
    pub documents: Vec<u32>,
    /// Steer as a program that contains llama.cpp does: functions handed over, contexts attached, no call redirected
    #[arg(long)]
    pub embedded: bool,
    #[command(flatten)]
    pub host: HostChoice,
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPart {
    /// One sequence under one profile: an empty one, add, project where a probe says so
    Single,
    /// 32 sequences in a batch, under one profile and under four
    Batch,
    /// A profile that is reloaded while an answer is generated
    Reload,
    /// Prompts whose documents count the same in any order, pine and set; takes long
    Segments,
    /// A sequence with a context in its prompt, set off against the same without it
    Contrast,
}

/// `demo`
#[derive(Args, Debug)]
pub struct Demo {
    /// Another model than the one inside this program
    #[arg(short, long, value_name = "GGUF", requires = "data", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
    /// What to ask it: prompts, words and profile as in the built-in demo.toml
    #[arg(long, value_name = "TOML", requires = "model", value_hint = ValueHint::FilePath)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub host: HostChoice,
}

/// `completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `manual`
#[derive(Args, Debug)]
pub struct Manual {
    /// The folder; it is made if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// `self-test`
#[derive(Args, Debug)]
pub struct SelfTest {
    /// libllama
    pub library: PathBuf,
}

/// Which llama.cpp, which plug-in, and how to load a model.
#[derive(Args, Debug, Clone)]
pub struct HostChoice {
    #[command(flatten)]
    pub llama: LlamaChoice,
    #[command(flatten)]
    pub plugin: PluginChoice,
    /// Threads [default: one per core]
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub threads: Option<u32>,
    /// Layers to put on a GPU [default: as many as fit]
    #[arg(long, value_name = "N")]
    pub gpu_layers: Option<u32>,
    /// Show llama.cpp's own log; twice: all of it
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Which llama.cpp.
#[derive(Args, Debug, Clone)]
pub struct LlamaChoice {
    /// The llama.cpp to use: libllama.so, a folder that holds it, or a program that uses it
    #[arg(long, value_name = "PATH", env = "EVENKEEL_LLAMA", hide_env_values = true, value_hint = ValueHint::AnyPath)]
    pub llama: Option<PathBuf>,
}

/// Which plug-in.
#[derive(Args, Debug, Clone)]
pub struct PluginChoice {
    /// libevenkeel.so [default: beside this program]
    #[arg(long, value_name = "FILE", env = "EVENKEEL_PLUGIN", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub plugin: Option<PathBuf>,
}
