//! Reading the residual stream: of a context that is captured, every graph that is evaluated copies the rows with output after
//! each layer, and what was copied is fetched before the next micro-batch takes its memory, or when it is asked for.

mod copies;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use evenkeel_ffi::generated::types::ggml_cgraph;
use rustc_hash::FxHashMap;

use self::copies::Copies;
use super::library::Host;
use crate::state::{RawRow, lock};

/// The captured contexts, by address.
#[derive(Default)]
pub struct Captures {
    /// Most processes have none, and ask for every graph.
    any: AtomicBool,
    all: Mutex<FxHashMap<usize, Arc<Mutex<Capture>>>>,
}

/// A row that was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedRow {
    /// Its sequence, the first of them.
    pub seq: i32,
    /// Its position.
    pub pos: i32,
    /// Its token.
    pub token: i32,
}

/// What is captured of one context.
#[derive(Default)]
pub struct Capture {
    /// Whether graphs that are built get copies.
    on: bool,
    /// Whether the one that was built last has.
    built: Option<bool>,
    /// Graphs with copies, by address.
    graphs: FxHashMap<usize, Copies>,
    /// The rows of the micro-batch under way; `None`: they could not be read.
    rows: Option<Vec<RawRow>>,
    /// The graph that is evaluated, until its copies are fetched.
    pending: Option<usize>,
    /// What the last batch left: rows with output in the order of evaluation.
    found: Vec<CapturedRow>,
    /// For each block, and last for what the output matrix reads, the values of these rows.
    layers: BTreeMap<u32, Vec<f32>>,
    /// Why something is missing.
    trouble: Option<String>,
}

/// Behind every block: what the output matrix reads.
const FINAL_NORM: u32 = u32::MAX;

impl Captures {
    /// Begins or ends capturing a context.
    pub fn set(&self, address: usize, on: bool) {
        let mut all = lock(&self.all);
        if !on && !all.contains_key(&address) {
            return;
        }
        let capture = all.entry(address).or_default().clone();
        self.any.store(true, Ordering::Relaxed);
        drop(all);
        let mut capture = lock(&capture);
        capture.begin();
        capture.on = on;
    }

    /// That of the context at `address`, also after it was ended: the host may still have graphs with copies.
    pub fn of(&self, address: usize) -> Option<Arc<Mutex<Capture>>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        lock(&self.all).get(&address).cloned()
    }

    /// The context is about to be freed.
    pub fn forget(&self, address: usize) {
        if let Some(capture) = self.of(address) {
            lock(&self.all).remove(&address);
            lock(&capture).fetch();
        }
    }

    /// The scheduler is about to be freed.
    pub fn before_sched_free(&self, sched: usize) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let all: Vec<_> = lock(&self.all).values().cloned().collect();
        for capture in all {
            let mut capture = lock(&capture);
            if capture.graphs.values().any(|copies| copies.sched == sched) {
                capture.fetch();
                capture.graphs.retain(|_, copies| copies.sched != sched);
            }
        }
    }
}

impl Capture {
    /// A batch is about to be decoded: what the one before left is given up.
    pub fn begin(&mut self) {
        self.pending = None;
        self.found.clear();
        self.layers.values_mut().for_each(Vec::clear);
        self.trouble = None;
    }

    /// A micro-batch of these rows is about to be evaluated.
    pub fn before_ubatch(&mut self, rows: Option<Vec<RawRow>>) {
        self.fetch();
        self.rows = rows;
    }

    /// Whether the graph that was built last has what it should have.
    pub fn may_reuse(&self) -> bool {
        self.built == Some(self.on) || !self.on && self.built.is_none()
    }

    /// Adds copies to a graph that was built to be evaluated.
    ///
    /// # Safety
    /// As [`Copies::add`].
    pub unsafe fn built(&mut self, host: &Result<Arc<Host>, String>, sched: usize, graph: *mut ggml_cgraph) {
        self.graphs.remove(&(graph as usize));
        self.built = Some(self.on);
        if !self.on {
            return;
        }
        // SAFETY: the caller's promise.
        let added = host.as_ref().map_err(String::clone).and_then(|host| unsafe { Copies::add(host, sched, graph) });
        match added {
            Ok(copies) => {
                self.graphs.insert(graph as usize, copies);
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    /// The graph is about to be evaluated.
    ///
    /// # Safety
    /// `graph` is a valid graph, used by the calling thread only.
    pub unsafe fn before_compute(&mut self, graph: *mut ggml_cgraph) {
        if !self.on {
            return;
        }
        // SAFETY: the caller's promise.
        let known = self.graphs.get(&(graph as usize)).is_some_and(|copies| unsafe { copies.are_in(graph) });
        if known {
            self.pending = Some(graph as usize);
        } else if self.trouble.is_none() {
            self.trouble = Some("a graph was evaluated that has no copies".to_owned());
        }
    }

    /// Fetches what the last evaluation copied.
    fn fetch(&mut self) {
        let Some(address) = self.pending.take() else { return };
        let (Some(copies), rows) = (self.graphs.get(&address), self.rows.take()) else { return };
        // SAFETY: the scheduler lives: copies are dropped before it is freed. Nothing was evaluated since: the host's next
        // step on it comes here first.
        unsafe { copies.wait() };
        let Some(rows) = rows else {
            self.trouble = Some("the rows of a micro-batch could not be read".to_owned());
            return;
        };
        let with_output: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].output).collect();
        let (layers, trouble) = (&mut self.layers, &mut self.trouble);
        // SAFETY: as above.
        unsafe {
            copies.read(|layer, width, values| {
                let all = layers.entry(layer.unwrap_or(FINAL_NORM)).or_default();
                match values.len().checked_div(width) {
                    Some(n) if n == with_output.len() => all.extend_from_slice(values),
                    // A graph without an input that says which rows have output has all.
                    Some(n) if n == rows.len() => {
                        with_output.iter().for_each(|i| all.extend_from_slice(&values[i * width..(i + 1) * width]));
                    }
                    n => {
                        let (n, wanted) = (n.unwrap_or(0), with_output.len());
                        *trouble = Some(format!("a layer has {n} rows, but {wanted} have output"));
                    }
                }
            });
        }
        let row = |i: &usize| CapturedRow { seq: rows[*i].seq, pos: rows[*i].pos, token: rows[*i].token };
        self.found.extend(with_output.iter().map(row));
    }

    /// The rows of the last batch that have output, in the order of evaluation. Waits until they are computed.
    ///
    /// # Errors
    /// Why they are not all there.
    pub fn rows(&mut self) -> Result<&[CapturedRow], String> {
        self.fetch();
        self.trouble.clone().map_or(Ok(&self.found), Err)
    }

    /// Their values after a block, or for `None` what the output matrix reads; empty if the graph names no such node.
    ///
    /// # Errors
    /// As [`Capture::rows`].
    pub fn layer(&mut self, layer: Option<u32>) -> Result<&[f32], String> {
        self.fetch();
        match &self.trouble {
            Some(why) => Err(why.clone()),
            None => Ok(self.layers.get(&layer.unwrap_or(FINAL_NORM)).map_or(&[], Vec::as_slice)),
        }
    }

    /// Whether graphs get copies.
    pub fn is_on(&self) -> bool {
        self.on
    }
}
