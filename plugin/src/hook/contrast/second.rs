//! The second context: made, known to be one, freed.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, atomic::Ordering},
};

use super::super::{
    context,
    library::{self, Host},
};
use crate::{
    guard::guard,
    log,
    state::{Live, Second, Standing, lock},
};

thread_local! {
    /// The context that a second one is made for on this thread.
    static FIRST: RefCell<Option<Arc<Live>>> = const { RefCell::new(None) };
    /// What it became.
    static MADE: RefCell<Option<Second>> = const { RefCell::new(None) };
    /// The second context of one that is about to be freed on this thread.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Whether a context that is being made on this thread is one of ours.
pub fn is_made() -> bool {
    FIRST.with_borrow(Option::is_some)
}

/// Takes note of the context with this number and address, which llama.cpp makes for us. False if it does not.
pub fn admit(caller: usize, this: (u32, usize)) -> bool {
    let Some(first) = FIRST.with_borrow(Clone::clone) else { return false };
    let host = library::of_caller(caller).unwrap_or_else(|_| first.host.clone());
    let live = Arc::new(first.second(this.0, this.1, host));
    MADE.set(Some(Second { address: this.1, live: live.clone(), weights: false }));
    context::admit(this, Standing::Second(live), format!("beside context {}", first.id));
    true
}

/// The second context of one, made if there is none. Runs outside of the guard, which encloses only what is ours. `weights`: its
/// attention weights are replaced, so they must be values of its graphs.
///
/// # Errors
/// If llama.cpp makes none.
pub fn of(live: &Arc<Live>, weights: bool) -> Result<Second, String> {
    let known = guard("contrast", None, || Some((live.second_context(), live.origin().copied())));
    let (second, origin) = known.ok_or("an internal error")?;
    match second {
        Some(second) if second.weights || !weights => return Ok(second),
        // One that was made before a profile wanted that.
        Some(_) if guard("contrast", false, || leave(live)) => {
            wait(live);
            free(&live.host);
        }
        _ => {}
    }
    let (Some(origin), Some(llama)) = (origin, live.host.lib.llama.as_ref()) else {
        return Err("it is not known how the context was made".into());
    };
    log::info!(
        "context {}: a second context is made, for what its sequences are without their contexts or images",
        live.id
    );
    FIRST.set(Some(live.clone()));
    // SAFETY: the model outlives the host's own context, which is being used; the parameters are those of that.
    let made = unsafe {
        let params = if weights { origin.params.with_weights() } else { origin.params };
        params.context(llama, origin.model as _)
    };
    FIRST.take();
    let made = MADE.take().filter(|second| second.address == made as usize);
    let second = made.map(|second| Second { weights, ..second });
    let second = second
        .ok_or("llama.cpp could not make a second context (see its own log; memory for another key-value cache?)")?;
    guard("contrast", (), || lock(&live.contrast).second = Some(second.clone()));
    Ok(second)
}

/// Waits for what the first context evaluated last: it may have written keys and values of the second.
pub fn wait(live: &Live) {
    let sched = live.sched.load(Ordering::Relaxed);
    if sched != 0 {
        // SAFETY: the scheduler of the host's context, forgotten when it is freed.
        unsafe { (live.host.lib.sched.ggml_backend_sched_synchronize)(sched as _) };
    }
}

/// A context is about to be freed. True if it has a second one, which [`free`] frees.
pub fn leave(live: &Live) -> bool {
    let mut contrasts = lock(&live.contrast);
    contrasts.fed.clear();
    contrasts.followed = Default::default();
    let second = contrasts.second.take();
    LEFT.set(second.map_or(0, |second| second.address));
    LEFT.get() != 0
}

/// Frees it. Runs outside of the guard.
pub fn free(host: &Host) {
    let address = LEFT.take();
    if let (Some(contrast), true) = (&host.lib.contrast, address != 0) {
        // SAFETY: made by `of`, and freed once: nothing else knows of it.
        unsafe { (contrast.llama_free)(address as _) };
    }
}
