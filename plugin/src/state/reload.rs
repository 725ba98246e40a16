//! Taking up changed profiles while the model runs: read and checked on a thread of their own, taken up between two calls
//! to decode.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use evenkeel_core::profile::Reload;

use super::{Book, Live, ProfileSlot, Shelf, State, book::Unbound, lock};
use crate::{guard::guard, log};

/// How often files are looked at.
const INTERVAL_MS: u64 = 1000;

/// When files were looked at last.
pub struct Watch {
    began: Instant,
    next_ms: AtomicU64,
    busy: Arc<AtomicBool>,
    /// The text of the errors that were said last: a file that stays broken is named once.
    said: Mutex<String>,
}

impl Watch {
    /// From now on.
    pub fn new() -> Watch {
        let (next_ms, busy) = (AtomicU64::new(INTERVAL_MS), Arc::new(AtomicBool::new(false)));
        Watch { began: Instant::now(), next_ms, busy, said: Mutex::default() }
    }

    /// True once per interval, on one thread.
    fn due(&self) -> bool {
        let now = self.began.elapsed().as_millis() as u64;
        let next = self.next_ms.load(Ordering::Relaxed);
        let take = || self.next_ms.compare_exchange(next, now + INTERVAL_MS, Ordering::Relaxed, Ordering::Relaxed);
        now >= next && take().is_ok()
    }
}

/// Called between two calls to decode: looks at the files once a second, if the profiles say so.
pub fn at_boundary(state: &'static State) {
    let watch = &state.watch;
    if !watch.due() || watch.busy.load(Ordering::Relaxed) {
        return;
    }
    let watched = match &*lock(&state.profile) {
        ProfileSlot::Loaded(shelf) if shelf.reload() == Reload::Watch => shelf.clone(),
        _ => return,
    };
    watch.busy.store(true, Ordering::Relaxed);
    let work = move || {
        guard("reload", (), || {
            if watched.changed() {
                let path = watched.path.clone();
                // Said when it is found; what is in force stays in force.
                let _ = read(state, &path, &watched);
            }
        });
        state.watch.busy.store(false, Ordering::Relaxed);
    };
    if std::thread::Builder::new().name("evenkeel-reload".into()).spawn(work).is_err() {
        watch.busy.store(false, Ordering::Relaxed);
    }
}

/// `ek_reload`: the same at once, on the caller's thread.
///
/// # Errors
/// Why nothing was taken up.
pub fn now(state: &State) -> Result<(), String> {
    let shelf = match &*lock(&state.profile) {
        ProfileSlot::Loaded(shelf) => shelf.clone(),
        ProfileSlot::None => return Err("no profile is loaded".into()),
        ProfileSlot::Named(_) => return Ok(()),
        ProfileSlot::Failed(why) => return Err(why.clone()),
    };
    if shelf.reload() == Reload::Off {
        return Err(format!("{}: got reload = \"off\" in [runtime], allowed: \"watch\"", shelf.path.display()));
    }
    read(state, &shelf.path, &shelf)
}

/// Reads the files anew and offers them to every context that runs under the ones before.
fn read(state: &State, path: &Path, before: &Arc<Shelf>) -> Result<(), String> {
    let outcome = Shelf::load(path).and_then(|shelf| {
        let shelf = Arc::new(shelf);
        let mut books: Vec<(Arc<Live>, Arc<Book>)> = Vec::new();
        for live in state.lives().into_iter().filter(|live| live.second_of.is_none()) {
            let now = live.book();
            // One that was made before the program loaded other profiles keeps those it has.
            if now.path != shelf.path {
                continue;
            }
            match Book::bind(&shelf, (&live.facts, &|| live.pieces.all(&live.host)), Some(&now), &state.identities) {
                Ok(book) => {
                    live.check_markers(&book)?;
                    books.push((live, Arc::new(book)));
                }
                Err(Unbound::Failed(why) | Unbound::OtherModel(why)) => return Err(why),
            }
        }
        Ok((shelf, books))
    });
    match outcome {
        Ok((shelf, books)) => {
            let mut slot = lock(&state.profile);
            // Another profile was loaded meanwhile, by the program.
            if !matches!(&*slot, ProfileSlot::Loaded(now) if Arc::ptr_eq(now, before)) {
                return Ok(());
            }
            *slot = ProfileSlot::Loaded(shelf);
            drop(slot);
            lock(&state.watch.said).clear();
            books.into_iter().for_each(|(live, book)| live.offer(book));
            Ok(())
        }
        Err(why) => {
            let mut said = lock(&state.watch.said);
            if *said != why {
                log::error!("the changed profile is not taken up, the one before stays in force:\n{why}");
                said.clone_from(&why);
            }
            Err(why)
        }
    }
}
