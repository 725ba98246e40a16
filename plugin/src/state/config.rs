//! The environment variables.

use std::path::PathBuf;

use evenkeel_core::snapshot::Place;

use crate::log;

/// What the environment says. Read once, at the first need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `EVENKEEL_PROFILE`: the profile of every context that is made.
    pub profile: Option<PathBuf>,
    /// `EVENKEEL_REQUIRE=1`: a context that cannot be steered is refused.
    pub require: bool,
    /// `EVENKEEL_STATS`: the folder that counters are written to.
    pub stats: Option<PathBuf>,
}

impl Config {
    /// Reads `EVENKEEL_PROFILE`, `EVENKEEL_REQUIRE`, `EVENKEEL_STATS` and `EVENKEEL_LOG`, which takes effect at once.
    pub fn from_env() -> Config {
        if let Some(level) = std::env::var_os("EVENKEEL_LOG")
            && !level.to_str().is_some_and(log::set_level)
        {
            log::warning!("EVENKEEL_LOG: got {level:?}, allowed: error, warn, info, debug, off");
        }
        let profile = std::env::var_os("EVENKEEL_PROFILE").filter(|p| !p.is_empty()).map(PathBuf::from);
        let require = match std::env::var_os("EVENKEEL_REQUIRE") {
            None => false,
            Some(v) if v == "1" => true,
            Some(v) if v == "0" || v.is_empty() => false,
            Some(v) => {
                log::warning!("EVENKEEL_REQUIRE: got {v:?}, allowed: 0, 1; taken as 1");
                true
            }
        };
        let stats = Place::of(std::env::var_os("EVENKEEL_STATS").as_deref()).unwrap_or_else(|bad| {
            log::warning!("{bad}; nothing is written");
            Place::Nowhere
        });
        Config { profile, require, stats: stats.folder() }
    }
}
