//! What was typed.

use std::sync::Arc;

use super::calibrate::{CalibrateRule, Method};
use super::condition::Condition;
use super::layers::Layers;
use crate::asset::Raw;
use crate::contrast::Contrast;
use crate::invariance::Invariance;
use crate::plan::Site;
use crate::report::{Pos, Spanned};

/// A profile as a person wrote it: every value is of the right type and in its range, nothing is known of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The file as its path was given; messages begin with it.
    pub file: Arc<str>,
    /// `name`, or the file's name without its ending.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `[model]`.
    pub model: ModelGuard,
    /// `[runtime]`.
    pub runtime: Runtime,
    /// `[requests]`.
    pub requests: Requests,
    /// `[[route]]`, in file order.
    pub routes: Vec<Route>,
    /// `[invariance]`.
    pub invariance: Option<InvarianceTable>,
    /// `[contrast]`.
    pub contrast: Option<ContrastTable>,
    /// `[[steer]]`, in file order.
    pub steer: Vec<SteerRule>,
    /// `[[heads]]`, in file order.
    pub heads: Vec<HeadsRule>,
    /// `[[edit]]`, in file order.
    pub edits: Vec<EditRule>,
    /// `[[calibrate]]`, in file order.
    pub calibrate: Vec<CalibrateRule>,
}

/// `[model]`: what the model must be. Every key is optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelGuard {
    /// `arch`.
    pub arch: Option<Spanned<String>>,
    /// `embedding-length`.
    pub embedding_length: Option<Spanned<u32>>,
    /// `block-count`.
    pub block_count: Option<Spanned<u32>>,
    /// `embeddings`: contexts that compute embeddings run under the profile, too.
    pub embeddings: bool,
}

/// `[runtime]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runtime {
    /// `asset-dirs`: folders in which vector files may lie, relative to the profile.
    pub asset_dirs: Vec<Spanned<String>>,
    /// `on-error`.
    pub on_error: OnError,
    /// `reload`.
    pub reload: Reload,
    /// `cache`.
    pub cache: CachePolicy,
    /// `max-plans`: how many plans one graph may hold; `None` for the default.
    pub max_plans: Option<u32>,
}

/// What becomes of one sequence that cannot be served as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Only tokens that end the generation are possible on its rows.
    #[default]
    Refuse,
    /// It runs without a profile.
    Bypass,
}

/// Whether changed files take effect while the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reload {
    /// Looked for once a second.
    #[default]
    Watch,
    /// Never: a context keeps what it was made with.
    Off,
}

/// What to do with cells that were generated under a rule for some tokens only, once they are part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// They are evaluated again.
    #[default]
    Exact,
    /// They are kept as they are.
    Keep,
}

/// `[invariance]`: attention that does not depend on the order of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvarianceTable {
    /// Where the table begins.
    pub pos: Pos,
    /// What it says.
    pub invariance: Invariance,
}

/// `[contrast]`: a request, set off against the same without a marked context.
#[derive(Debug, Clone, PartialEq)]
pub struct ContrastTable {
    /// Where the table begins.
    pub pos: Pos,
    /// What it says.
    pub contrast: Contrast,
    /// At which layers attention is another, as typed; `None` where it is not that.
    pub layers: Option<Spanned<Layers>>,
}

/// `[requests]`: what a client of a server may ask for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requests {
    /// `choose`: names of profiles, or `off`.
    pub choose: Vec<Spanned<String>>,
}

/// One `[[route]]` table: from the first row after the matching tokens on, a sequence runs under another profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Where the table begins.
    pub pos: Pos,
    /// `when = { text = … }`: what the sequence's text must contain.
    pub text: Spanned<String>,
    /// `use`: a profile's name or `off`; the profile that the table stands in if it is absent.
    pub target: Option<Spanned<String>>,
}

/// One `[[steer]]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct SteerRule {
    /// Where the table begins.
    pub pos: Pos,
    /// `name`: unique in the profile.
    pub name: Spanned<String>,
    /// `direction`, `eraser` or `feature`: path of the rule's file, as typed.
    pub direction: Spanned<String>,
    /// `plane`: path of the file that spans a plane with the direction; with rotate only, and always then.
    pub plane: Option<Spanned<String>>,
    /// `debias`: path of a file whose direction is added at strength 1 before the rule's own; with add only.
    pub debias: Option<Spanned<String>>,
    /// `shape` and `rows`: what the direction's file does not say itself.
    pub raw: Raw,
    /// `operator`.
    pub operator: Operator,
    /// `unit`: what a strength of 1 is.
    pub unit: Unit,
    /// The dose of the operator: `strength` of add, `fraction` of project and affine, else 1. Finite.
    pub strength: Spanned<f32>,
    /// `layers`; its place is the table's if the key was not given.
    pub layers: Spanned<Layers>,
    /// `site`.
    pub site: Site,
    /// `tokens`.
    pub tokens: Tokens,
    /// `adjustable`: the strength may change while the model runs.
    pub adjustable: bool,
    /// `when`: on which rows; on all if it is absent.
    pub when: Option<Condition>,
    /// `model-hint`.
    pub model_hint: ModelHint,
}

/// One `[[heads]]` table: attention heads whose output is scaled before the output projection.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadsRule {
    /// Where the table begins.
    pub pos: Pos,
    /// `name`: unique in the profile.
    pub name: Spanned<String>,
    /// `scale`: what the heads' output is multiplied by; 0 switches them off.
    pub scale: Spanned<f32>,
    /// `heads`, each once; never empty.
    pub heads: Vec<Spanned<Head>>,
    /// `tokens`.
    pub tokens: Tokens,
    /// `adjustable`: how much of the change is made may change while the model runs.
    pub adjustable: bool,
}

/// One `[[edit]]` table: matrices of the model with a low-rank edit.
#[derive(Debug, Clone, PartialEq)]
pub struct EditRule {
    /// Where the table begins.
    pub pos: Pos,
    /// `name`: unique in the profile.
    pub name: Spanned<String>,
    /// `file`: path of the edits, as typed.
    pub file: Spanned<String>,
    /// `strength`: a factor on the edits.
    pub strength: Spanned<f32>,
    /// `tokens`.
    pub tokens: Tokens,
    /// `adjustable`: the strength may change while the model runs.
    pub adjustable: bool,
    /// `model-hint`.
    pub model_hint: ModelHint,
}

/// An attention head; with grouped queries, one of the queries' heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Layer, from 0.
    pub layer: u32,
    /// Number in the layer, from 0.
    pub head: u32,
}

impl SteerRule {
    /// The key that names its file, with its table.
    pub(crate) fn file_key(&self) -> String {
        format!("steer.{}", self.operator.file_key())
    }
}

impl CalibrateRule {
    /// The key that names its file, with its table.
    pub(crate) fn file_key(&self) -> String {
        format!("calibrate.{}", self.method.file_key().unwrap_or("state"))
    }
}

/// What a rule does: a `[[steer]]` table with a direction `v`, of which `v̂` is the unit vector, or another table.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Operator {
    /// `x += strength · v`.
    Add,
    /// `x −= fraction · (v̂ · x) · v̂`: directional ablation (Arditi et al. 2024) at fraction 1.
    Project,
    /// `x += (clip(u, min, max) − u) · v̂` with `u = v̂ · x`. At least one bound, and `min ≤ max`.
    Clamp {
        /// `min`, in units of the residual stream.
        min: Option<f32>,
        /// `max`, in units of the residual stream.
        max: Option<f32>,
    },
    /// `x += (R − I)·u` in the plane of `v` and a second direction, with `u` what `x` has in it: turned from `v` towards
    /// the second by an angle, the norm kept. Rotation in a fixed plane is angular steering's (arXiv 2510.26243).
    Rotate {
        /// `angle`, in degrees, from −360 to 360.
        angle: f32,
    },
    /// `x −= fraction · W(Rx − m)`: LEACE's eraser (Belrose et al. 2023), and ACE's affine projection (Marshall et al.
    /// 2024) where `R` has one row.
    Affine,
    /// `x += (target − relu(e·x + b)) · d`: a feature of a sparse autoencoder with encoder `e` and decoder `d`, held at a
    /// value.
    Sae {
        /// `target`, at least 0, in units of the feature.
        target: f32,
    },
    /// `[[heads]]`: `x_h *= scale`, for the output `x_h` of some heads.
    Heads {
        /// `scale`.
        scale: f32,
    },
    /// `[[edit]]`: `y = Wx + strength · b·(a·x)` for matrices `W` of the model.
    Edit,
    /// `[[calibrate]]`: the probabilities of labels, corrected among themselves.
    Calibrate(Method),
}

impl Operator {
    /// The word in the profile: of `operator`, or the table's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Project => "project",
            Self::Clamp { .. } => "clamp",
            Self::Rotate { .. } => "rotate",
            Self::Affine => "affine",
            Self::Sae { .. } => "sae",
            Self::Heads { .. } => "heads",
            Self::Edit => "edit",
            Self::Calibrate(method) => method.name(),
        }
    }

    /// The key that names the rule's file.
    pub fn file_key(&self) -> &'static str {
        match self {
            Self::Affine => "eraser",
            Self::Sae { .. } => "feature",
            Self::Add | Self::Project | Self::Clamp { .. } | Self::Rotate { .. } => "direction",
            Self::Heads { .. } => "heads",
            Self::Edit => "file",
            Self::Calibrate(method) => method.file_key().unwrap_or("temperature"),
        }
    }
}

/// Which tokens a rule acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tokens {
    /// Every token, of the prompt and generated.
    #[default]
    All,
    /// What the host feeds before the first token of the request is sampled, the last prompt token included.
    Prompt,
    /// What is fed after it.
    Generated,
    /// The prompt token whose logits give the first generated one.
    Last,
    /// Tokens at these positions of the sequence, both ends included.
    Positions {
        /// From 0.
        first: u32,
        /// At least `first`.
        last: u32,
    },
    /// Tokens that complete a text: the number of the text in [`crate::plan::Plan::after`].
    After(u16),
}

impl Tokens {
    /// The word in the profile, or the range.
    pub fn name(&self) -> String {
        match self {
            Self::All => "all".into(),
            Self::Prompt => "prompt".into(),
            Self::Generated => "generated".into(),
            Self::Last => "last".into(),
            Self::Positions { first, last } => format!("{first}..{last}"),
            Self::After(_) => "after".into(),
        }
    }
}

/// What a strength of 1 of an add is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The direction as it is stored: `x += strength · v`.
    Direction,
    /// The length of the row that is steered: `x += strength · |x| · v̂`.
    Norm,
}

/// What to do with the model family a vector file says it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelHint {
    /// It must be the model's architecture.
    Check,
    /// It is not looked at.
    Ignore,
}
