//! evenkeel: a dynamic library that a llama.cpp program loads, unmodified, and that rewrites its compute graphs.
//!
//! ```text
//! host makes a context ──▶ hook::context   profile + model ─▶ Plan, bound to this context
//! host builds a graph  ──▶ hook::graph     view ─▶ lower(Plan, GraphView) ─▶ Patch ─▶ commit ─▶ real alloc
//! host computes it     ──▶ hook::graph     write the gate table ─▶ real compute
//! ```
//!
//! # Contracts
//! - Pass-through is the default: an unknown graph, a missing anchor, no room, a poisoned state leave the host's graph
//!   as it is, are counted, and are said once.
//! - A hook does its work *before* the host's function and then jumps to it: no frame of ours is on the stack while the
//!   host's code runs, so its exceptions pass, and no lock of ours is held.
//! - No panic leaves a hook or an exported function ([`guard`]).
//! - Nothing happens before the host makes its first context: no thread, no handler, no file, no output.
//!
//! Unsafe code lives in [`hook`] and [`capi`].

mod capi;
mod guard;
mod hook;
mod log;
mod state;
