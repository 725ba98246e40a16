//! Why a profile does not fit a model.

use super::types::Site;
use crate::prior::StateError;
use crate::report::Errors;

/// All reasons at once, each at its place in the profile.
pub type PlanErrors = Errors<PlanError>;

/// One reason why a profile does not fit a model. Printed as `what, got, allowed`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// `[model]` says that the profile is for another model.
    #[error("the model is not the one this profile is for, got {model}, allowed: {guard}")]
    Guard {
        /// What the profile demands.
        guard: String,
        /// What the model has.
        model: String,
    },
    /// The model's attention has another form.
    #[error(
        "this model's attention depends on the order in another way, got \"{mode}\" for a model of architecture \"{arch}\" ({why}), \
         allowed: decoders with rotary positions, full attention and a key-value cache"
    )]
    Attention {
        /// The mode.
        mode: &'static str,
        /// The model's architecture.
        arch: String,
        /// What is in the way.
        why: &'static str,
    },
    /// What this version cannot do together with a contrast.
    #[error(
        "this version has no contrast beside it, got {got}, allowed: [contrast] with [[calibrate]], [[route]] and rules for all tokens or \
         those of a phase, whose conditions are read at each row"
    )]
    Contrast {
        /// What stands in the profile.
        got: String,
    },
    /// The directions are wider or narrower than the model's residual stream.
    #[error("width of the directions in {file}, got {got}, allowed: {n_embd} as the model")]
    Width {
        /// The vector file.
        file: String,
        /// Its width.
        got: u32,
        /// The model's.
        n_embd: u32,
    },
    /// The file says that it was made for another family of models.
    #[error(
        "{file} was made for another model, got the hint \"{hint}\", allowed: \"{arch}\" (or model-hint = \"ignore\" \
         in this rule)"
    )]
    Hint {
        /// The vector file.
        file: String,
        /// Its hint.
        hint: String,
        /// The model's architecture.
        arch: String,
    },
    /// The file says that it was made for another operator: the wrong one on a right-looking vector is silent damage.
    #[error(
        "{file} was made for another operator, got \"{got}\", allowed: \"{operator}\" as this rule (or model-hint = \
         \"ignore\" in it)"
    )]
    MadeFor {
        /// The vector file.
        file: String,
        /// What it says.
        got: String,
        /// The rule's operator.
        operator: &'static str,
    },
    /// The file says that it was made for another site.
    #[error(
        "{file} was made for another site, got \"{got}\", allowed: \"{site}\" as this rule (or model-hint = \"ignore\" in \
         it)"
    )]
    MadeForSite {
        /// The vector file.
        file: String,
        /// What it says.
        got: String,
        /// The rule's site, or where its condition reads.
        site: Site,
    },
    /// Layers for what happens once.
    #[error(
        "final-norm comes once, after the last layer, got layers {got}, allowed: \"all\" or layer {}", .n_layer.saturating_sub(1)
    )]
    FinalNormLayers {
        /// The layers.
        got: String,
        /// The model's number of layers.
        n_layer: u32,
    },
    /// A direction of zeros, which points nowhere.
    #[error(
        "{file} has no direction at layer {layer}, got zeros, allowed: at least one value that is not 0 for {operator}"
    )]
    ZeroDirection {
        /// The vector file.
        file: String,
        /// The layer.
        layer: u32,
        /// The rule's operator.
        operator: &'static str,
    },
    /// Two directions of a rotation that are parallel.
    #[error("{file} spans no plane with the direction at layer {layer}, got parallel ones, allowed: two that are not")]
    NoPlane {
        /// The file that `plane` names.
        file: String,
        /// The layer.
        layer: u32,
    },
    /// The file has a direction for a layer that the model lacks.
    #[error("{file} is for a model with more layers, got a direction for layer {layer}, allowed: {}", upto(*.n_layer))]
    FileLayer {
        /// The vector file.
        file: String,
        /// The highest layer in it.
        layer: u32,
        /// The model's number of layers.
        n_layer: u32,
    },
    /// A matrix must have one row per layer.
    #[error(
        "rows of `direction` in {file}, got {rows}, allowed: {n_layer}, one per layer of the model (row N acts after \
         layer N; a row for the embeddings does not belong here)"
    )]
    Rows {
        /// The vector file.
        file: String,
        /// Rows in it.
        rows: u32,
        /// The model's number of layers.
        n_layer: u32,
    },
    /// The rule asks for a layer that the model lacks.
    #[error("no such layer in the model, got {got}, allowed: {}", upto(*.n_layer))]
    NoSuchLayer {
        /// The layer or range as typed.
        got: String,
        /// The model's number of layers.
        n_layer: u32,
    },
    /// The rule asks for a head that the model lacks.
    #[error("no such head in the model, got {got}, allowed: heads 0..{}", .n_head.saturating_sub(1))]
    NoSuchHead {
        /// The head as typed.
        got: String,
        /// The model's number of heads.
        n_head: u32,
    },
    /// A range of depths in which no layer's middle lies.
    #[error("no layer lies in this range, got {got} of {n_layer} layers, allowed: a wider range")]
    NoLayer {
        /// The range as typed.
        got: String,
        /// The model's number of layers.
        n_layer: u32,
    },
    /// A layer twice in one rule.
    #[error("layer named twice, got layer {layer} again in {got}, allowed: each layer once")]
    LayerTwice {
        /// The layer.
        layer: u32,
        /// The item that names it again.
        got: String,
    },
    /// The file has no direction for layers that the rule asks for.
    #[error("{file} lacks layers of this rule, got {missing}, allowed: {present}")]
    MissingLayers {
        /// The vector file.
        file: String,
        /// Layers that it lacks.
        missing: String,
        /// Layers that it has.
        present: String,
    },
    /// A condition that would be known only after the rule has acted.
    #[error(
        "a condition is read before its rule acts, got layer {got} for a rule that begins at {site} of layer {first}, \
         allowed: {}", before(*.site, *.first)
    )]
    LateCondition {
        /// The layer of the condition.
        got: u32,
        /// The rule's first layer.
        first: u32,
        /// Where in it.
        site: Site,
    },
    /// A strength so large that what is added would not stay finite in the norms that follow.
    #[error(
        "the sum at layer {layer} is too large, got more than 1e15 at value {index} of {rules}, allowed: at most 1e15"
    )]
    Overflow {
        /// The layer.
        layer: u32,
        /// The rules in the sum.
        rules: String,
        /// Index of the first value that is too large.
        index: usize,
    },
    /// The tokens of the model are not known.
    #[error(
        "the model's tokens are not known here, got a tokenizer that this version cannot read from the file, allowed: \
         llama, gemma4, t5, gpt2 and rwkv tokenizers (a running llama.cpp tells the tokens of any)"
    )]
    NoVocabulary,
    /// A label that is no token of the model.
    #[error(
        "the label is no single token of this model, got {label:?}, allowed: a text that is one token, with or without a \
         space in front"
    )]
    NoToken {
        /// The label.
        label: String,
    },
    /// A token that two labels have.
    #[error(
        "two labels have one token, got {piece:?} for {label:?} and {other:?}, allowed: labels without a common token"
    )]
    SharedToken {
        /// The label.
        label: String,
        /// An earlier one.
        other: String,
        /// The token's text.
        piece: String,
    },
    /// A label that is no rating.
    #[error("a label without a score, got {label:?}, allowed: numbers as labels, or a tensor `scores` in the file")]
    NoScore {
        /// The label.
        label: String,
    },
    /// The file says that it was fitted for something else.
    #[error("{file} was fitted for other {what}, got {got}, allowed: {allowed}", what = plural(what))]
    FittedFor {
        /// The file.
        file: String,
        /// What is different.
        what: &'static str,
        /// What the file says.
        got: String,
        /// What it is here.
        allowed: String,
    },
    /// A tensor that is absent, or has another number of values.
    #[error("values of `{tensor}` in {file}, got {got}, allowed: {allowed}")]
    FittedLength {
        /// The file.
        file: String,
        /// The tensor.
        tensor: &'static str,
        /// How many values it has.
        got: usize,
        /// How many it must have.
        allowed: String,
    },
    /// A prior that nothing can be divided by.
    #[error("the prior of {label:?} in {file}, got {got}, allowed: at least 1e-30 for every label")]
    Prior {
        /// The file.
        file: String,
        /// The label.
        label: String,
        /// Its prior.
        got: f32,
    },
    /// A state from which no prior can go on.
    #[error("the prior in {file}: {why}")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: StateError,
    },
    /// A state that is not there and not to be made.
    #[error("no such file, got {file:?}, allowed: with learn = false, a file that `online` has written")]
    NoState {
        /// The file.
        file: String,
    },
    /// A curve that is none.
    #[error(
        "the curve in {file}, got knots that do not ascend, not as many values, or scores that are too close, allowed: as \
         many values as ascending knots, and scores apart by more than a thousandth of their range"
    )]
    Curve {
        /// The file.
        file: String,
    },
    /// Profile and assets do not belong together. Only a caller that mixes two profiles sees this.
    #[error("vector files of another profile, got {got} files for {rules} rules, allowed: one per rule")]
    Assets {
        /// Number of files.
        got: usize,
        /// Number of rules.
        rules: usize,
    },
}

/// Layers whose residual stream is there before this site of a layer.
fn before(site: Site, layer: u32) -> String {
    match upto(if site < Site::Residual { layer } else { layer.saturating_add(1) }) {
        none if layer == 0 && site < Site::Residual => none.replace(", the model has no layers", ""),
        layers => layers,
    }
}

fn plural(what: &str) -> String {
    if what.ends_with('s') { what.to_owned() } else { format!("{what}s") }
}

fn upto(n_layer: u32) -> String {
    match n_layer.checked_sub(1) {
        Some(last) => format!("layers 0..{last}"),
        None => "none, the model has no layers".into(),
    }
}
