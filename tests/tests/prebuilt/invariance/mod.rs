//! Position-invariant attention against its definition in float64.

mod caches;
mod canonical;
mod forms;
mod markers;
mod mechanism;
mod reference;
mod states;
