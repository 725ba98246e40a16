//! The one table of keys: the parser's messages, `configs/reference.toml` and `evenkeel explain` come from it.

use super::key::{Key, Kind};

/// Every key that this version reads, tables before what stands in them.
pub const KEYS: &[Key] = &[
    Key::new("schema", Kind::Integer, "1", "required", "Version of this language. It comes first and is always 1."),
    Key::new(
        "name",
        Kind::Text,
        NAME,
        "the file's name without .toml",
        "Name of the profile. Logs, counters and `evenkeel plan` use it.",
    ),
    Key::new("description", Kind::Text, "one line of text", "none", "One line for people. Nothing reads it."),
    Key::new(
        "model",
        Kind::Table,
        "one table [model]",
        "no guard",
        "What the model must be. A profile whose guard does not fit the model is refused.",
    ),
    Key::new(
        "model.arch",
        Kind::Text,
        "an architecture as the model file names it, for example \"llama\" or \"qwen3\"",
        "any",
        "The model's architecture (general.architecture in its GGUF file).",
    ),
    Key::new(
        "model.embedding-length",
        Kind::Integer,
        "a whole number from 1 to 4294967295",
        "any",
        "Width of the model's residual stream (<arch>.embedding_length).",
    )
    .unit("elements"),
    Key::new(
        "model.block-count",
        Kind::Integer,
        "a whole number from 1 to 4294967295",
        "any",
        "Number of the model's layers, without layers that only predict further tokens.",
    )
    .unit("layers"),
    Key::new("runtime", Kind::Table, "one table [runtime]", "the defaults of its keys", "How the plug-in works."),
    Key::new(
        "runtime.asset-dirs",
        Kind::Texts,
        "a list of folders, relative to the profile or absolute",
        "[]",
        "Further folders from which vector files may be read. A path is tried in the profile's own folder first, then \
         in these, in order. A file outside all of them is refused, also if only a link leads there.",
    ),
    Key::new(
        "steer",
        Kind::Tables,
        "tables [[steer]], at most 64",
        "no rule",
        "One rule: a direction in the residual stream and what to do with it. Rules act in file order.",
    ),
    Key::new("steer.name", Kind::Text, NAME, "required", "Name of the rule, different from that of every other rule."),
    Key::new(
        "steer.direction",
        Kind::Text,
        "path of a vector file below the profile's folder or an asset-dir",
        "required",
        "The vector file: a control vector of llama.cpp (GGUF, F32), or safetensors (F32, F16, BF16) with tensors \
         `direction.N` of shape [width] or one tensor `direction` of shape [layers, width]. Row N is added after layer \
         N, layers counted from 0.",
    ),
    Key::new(
        "steer.operator",
        Kind::Text,
        "\"add\", \"project\" or \"clamp\"",
        "\"add\"",
        "What is done with the direction. add: strength times the direction is added. project: what the residual stream \
         has along the direction is taken out (fraction says how much of it); the direction's length and sign do not \
         matter. clamp: what it has along the direction is kept between min and max.",
    )
    .values(&["add", "project", "clamp"]),
    Key::new(
        "steer.strength",
        Kind::Number,
        "a finite number, also negative",
        "1.0",
        "For add: factor on the direction, as in llama.cpp's --control-vector-scaled. A rule with strength 0 does \
         nothing and costs nothing, unless it is adjustable.",
    )
    .unit("multiples of the direction as stored"),
    Key::new(
        "steer.fraction",
        Kind::Number,
        "a number from 0 to 1",
        "1.0",
        "For project: how much of the component along the direction is taken out. 1 takes all of it.",
    ),
    Key::new(
        "steer.min",
        Kind::Number,
        "a finite number, at most max",
        "no lower bound",
        "For clamp: the least that the residual stream may have along the direction of length 1.",
    )
    .unit("the residual stream's own"),
    Key::new(
        "steer.max",
        Kind::Number,
        "a finite number, at least min",
        "no upper bound",
        "For clamp: the most that the residual stream may have along the direction of length 1. At least one of min and \
         max is needed.",
    )
    .unit("the residual stream's own"),
    Key::new(
        "steer.layers",
        Kind::Layers,
        "\"all\", a layer 14, a range \"12..24\" (both ends included), a depth \"50%\", a range of depths \
         \"40%..70%\", or a list of these",
        "\"all\"",
        "Layers the rule acts on, counted from 0. \"all\" means every layer the vector file has. A depth counts from \
         the first layer (0%) to the last (100%): a range has the layers whose middle lies in it. A layer that the \
         file lacks is an error.",
    )
    .unit("layers or % of the depth"),
    Key::new(
        "steer.site",
        Kind::Text,
        "\"residual\"",
        "\"residual\"",
        "Where in a layer. residual: the residual stream after the layer, where llama.cpp's control vectors act.",
    )
    .values(&["residual"]),
    Key::new(
        "steer.tokens",
        Kind::Text,
        "\"all\"",
        "\"all\"",
        "Which tokens. all: the prompt's and the generated ones.",
    )
    .values(&["all"]),
    Key::new(
        "steer.adjustable",
        Kind::Bool,
        "true or false",
        "false",
        "Whether the strength may be changed while the model runs (in the C API): the strength of add, the fraction of \
         project, how much of its correction clamp makes. Such a rule stays in the graph also at strength 0, and costs \
         one or two more operations per layer.",
    ),
    Key::new(
        "steer.model-hint",
        Kind::Text,
        "\"check\" or \"ignore\"",
        "\"check\"",
        "What to do with what a vector file says about itself: the model family (controlvector.model_hint) and the \
         operator it was made for (evenkeel.operator). check: they must be the model's and the rule's. ignore: use the \
         file all the same; width and layers are checked in any case.",
    )
    .values(&["check", "ignore"]),
];

const NAME: &str = "1 to 64 letters, digits, '-', '_' or '.'";

/// Keys and tables that the language has and this version lacks.
pub(super) const PLANNED: &[&str] = &[
    "requests",
    "heads",
    "invariance",
    "calibrate",
    "contrast",
    "route",
    "model.embeddings",
    "runtime.on-error",
    "runtime.reload",
    "runtime.cache",
    "runtime.max-plans",
    "steer.when",
];

/// Values that the language has and this version lacks.
pub(super) const PLANNED_VALUES: &[(&str, &[&str])] = &[
    ("steer.operator", &["affine", "rotate", "sae"]),
    ("steer.site", &["attn-out", "ffn-out", "heads", "final-norm"]),
    ("steer.tokens", &["prompt", "generated", "last"]),
];

/// The key with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// The names of the keys of one table, in order; `""` is the top of the file.
pub(super) fn names_in(table: &str) -> Vec<&'static str> {
    KEYS.iter().filter(|k| k.table() == table).map(Key::name).collect()
}

/// What the parser says is allowed at `path`; empty for a path that is no key.
pub(super) fn allowed(path: &str) -> &'static str {
    find(path).map_or("", |k| k.allowed)
}
