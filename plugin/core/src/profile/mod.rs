//! The language of profiles: TOML text in, a typed [`Profile`] or all of its errors out.
//!
//! Nothing here opens a file or knows a model. The one table of keys ([`KEYS`]) has type, unit, range, default and
//! meaning of each; the messages, `configs/reference.toml` and [`explain`] come from it. A key that the language has
//! and this version lacks is an error that says so: nothing is accepted and then ignored.

mod calibrate;
mod condition;
mod contrast;
mod edit;
mod error;
mod explain;
mod heads;
mod invariance;
mod key;
mod keys;
mod layers;
mod names;
mod parse;
mod percent;
mod raw;
mod read;
mod reader;
mod route;
mod steer;
mod suggest;
mod text;
mod tokens;
mod types;
mod value;
mod when;

pub use calibrate::{At, CalibrateRule, Form, Learning, Method};
pub use condition::{Ask, At as AskAt, Condition, Reading};
pub use error::ProfileError;
pub use explain::{ExplainError, explain};
pub use key::{Key, Kind};
pub use keys::KEYS;
pub use layers::{LayerItem, Layers};
pub use percent::Percent;
pub use types::{
    CachePolicy, ContrastTable, EditRule, Head, HeadsRule, InvarianceTable, ModelGuard, ModelHint, OnError, Operator,
    Profile, Reload, Requests, Route, Runtime, SteerRule, Tokens, Unit,
};

pub(crate) use suggest::nearest;
