//! Counters per rule and site, as a snapshot that the caller owns.

use std::{
    ffi::{CString, c_char},
    sync::atomic::Ordering::Relaxed,
};

use super::{
    error::{exported, out},
    status::Status,
};
use crate::state::{self, Context, Instance, SiteCounter, lock};

/// `ek_stats`: a snapshot. Its texts live as long as it does.
pub struct Stats {
    entries: Vec<Entry>,
}

struct Entry {
    rule: CString,
    site: CString,
    values: Values,
}

/// What an entry has besides its texts.
#[derive(Clone, Copy)]
struct Values {
    context: u32,
    layer: u32,
    strength: f32,
    graphs: u64,
    rows: u64,
}

/// `ek_stat`
#[repr(C)]
pub struct Stat {
    rule: *const c_char,
    site: *const c_char,
    context: u32,
    layer: u32,
    strength: f32,
    graphs: u64,
    rows: u64,
}

impl Stats {
    fn now() -> Stats {
        let mut contexts: Vec<_> = lock(&state::get().contexts).values().cloned().collect();
        contexts.sort_by_key(|c| c.id);
        let of = |c: &Context| {
            let instances = c.instances();
            instances.iter().flat_map(|i| i.sites.iter().map(|s| entry(c, i, s))).collect::<Vec<_>>()
        };
        Stats { entries: contexts.iter().flat_map(|c| of(c)).collect() }
    }
}

fn entry(context: &Context, instance: &Instance, counter: &SiteCounter) -> Entry {
    let rule = &instance.plan.rules[counter.rule];
    let values = Values {
        context: context.id,
        layer: counter.layer,
        strength: rule.gate.map_or(rule.strength, |g| instance.strength(usize::from(g.0))),
        graphs: counter.graphs.load(Relaxed),
        rows: counter.rows.load(Relaxed),
    };
    let text = |text: &str| CString::new(text).unwrap_or_default();
    Entry { rule: text(&rule.name), site: text(&counter.site.to_string()), values }
}

/// `ek_status ek_stats_new(ek_stats ** stats)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_new(stats: *mut *mut Stats) -> Status {
    exported("ek_stats_new", || {
        // SAFETY: the header's contract.
        let stats = unsafe { out("stats", stats) }?;
        *stats = Box::into_raw(Box::new(Stats::now()));
        Ok(())
    })
}

/// `ek_status ek_stats_count(const ek_stats * stats, size_t * count)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_count(stats: *const Stats, count: *mut usize) -> Status {
    exported("ek_stats_count", || {
        // SAFETY: the header's contract: a snapshot of ek_stats_new that was not freed.
        let (stats, count) = unsafe { (stats.as_ref(), out("count", count)?) };
        *count = stats.ok_or((Status::Argument, "stats is NULL".to_owned()))?.entries.len();
        Ok(())
    })
}

/// `ek_status ek_stats_get(const ek_stats * stats, size_t index, ek_stat * stat)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_get(stats: *const Stats, index: usize, stat: *mut Stat) -> Status {
    exported("ek_stats_get", || {
        // SAFETY: the header's contract: a snapshot of ek_stats_new that was not freed.
        let (stats, stat) = unsafe { (stats.as_ref(), out("stat", stat)?) };
        let entries = &stats.ok_or((Status::Argument, "stats is NULL".to_owned()))?.entries;
        let allowed = || (Status::Argument, format!("index: got {index}, allowed: below {}", entries.len()));
        let Entry { rule, site, values } = entries.get(index).ok_or_else(allowed)?;
        let Values { context, layer, strength, graphs, rows } = *values;
        *stat = Stat { rule: rule.as_ptr(), site: site.as_ptr(), context, layer, strength, graphs, rows };
        Ok(())
    })
}

/// `ek_status ek_stats_free(ek_stats * stats)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_free(stats: *mut Stats) -> Status {
    exported("ek_stats_free", || {
        if !stats.is_null() {
            // SAFETY: the header's contract: made by ek_stats_new, freed once.
            drop(unsafe { Box::from_raw(stats) });
        }
        Ok(())
    })
}
