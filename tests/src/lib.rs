//! What the tests on real hosts share: hosts, the library under test, profiles, recordings.
//!
//! A test makes a [`Scratch`] with a tiny model and a vector, runs a host without and with the library through one of
//! the [`Door`]s, and compares what the two runs computed, bit for bit. Hosts come from the cache folder that
//! `tests/hosts/fetch` and `tests/hosts/build` fill; a host that is missing fails its tests, with the command that
//! brings it.
#![forbid(unsafe_code)]

mod cache;
mod library;
mod profile;
mod recording;
mod run;
mod scratch;

pub mod claim;
pub mod completion;
pub mod generation;
pub mod host;
pub mod kept;
pub mod oracle;
pub mod serving;
pub mod table;

pub use cache::Cache;
pub use library::{Door, library, mutant, tool};
pub use profile::Profile;
pub use recording::{Recording, Row};
pub use run::{Finished, Setting, run};
pub use scratch::Scratch;
