//! The one place where a panic of ours stops.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{log, state};

/// Runs `work` for the hook or function `name`. If it panics, the plug-in is poisoned (every later graph passes
/// through, and status says so) and `fallback` is returned.
pub fn guard<T>(name: &str, fallback: T, work: impl FnOnce() -> T) -> T {
    let result = catch_unwind(AssertUnwindSafe(|| {
        inject(name);
        work()
    }));
    result.unwrap_or_else(|panic| {
        // The payload's own drop could panic again: it is leaked.
        std::mem::forget(panic);
        let _ = catch_unwind(|| {
            state::poison();
            log::error!("internal error in {name}: from here on every graph runs as the host built it");
            // The last word: no hook comes to it any more.
            state::snapshot::now(state::get());
        });
        fallback
    })
}

#[cfg(feature = "inject-panics")]
fn inject(name: &str) {
    if std::env::var("EVENKEEL_INJECT_PANIC").is_ok_and(|wanted| wanted == name) {
        panic!("injected into {name}");
    }
}

#[cfg(not(feature = "inject-panics"))]
fn inject(_name: &str) {}

/// Whether this build, for a test of the tests, leaves out what `EVENKEEL_MUTANT` names.
#[cfg(feature = "inject-panics")]
pub fn mutant(name: &str) -> bool {
    std::env::var("EVENKEEL_MUTANT").is_ok_and(|wanted| wanted == name)
}

#[cfg(not(feature = "inject-panics"))]
pub fn mutant(_name: &str) -> bool {
    false
}
