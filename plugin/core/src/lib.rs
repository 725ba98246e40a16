//! From a profile to a list of graph edits, as types:
//!
//! ```text
//! profile.toml ──profile──▶ Profile ─┐
//! vectors      ──asset────▶ Assets ──┼─plan──▶ Plan ──lower(Plan, GraphView)──▶ Patch
//! model        ────────────▶ ModelFacts ─┘
//! ```
//!
//! A [`profile::Profile`] is what was typed; a [`plan::Plan`] exists only if validation against one model
//! succeeded; a [`lower::Patch`] is the list of edits for one graph. No step checks again what an earlier one
//! established, and nothing here is unsafe or knows a pointer of ggml's.
#![forbid(unsafe_code)]

pub mod asset;
pub mod contrast;
pub mod invariance;
pub mod load;
pub mod lower;
pub mod model;
pub mod plan;
pub mod prior;
pub mod profile;
pub mod report;
pub mod sequence;
#[cfg(unix)]
pub mod snapshot;
pub mod vocabulary;
