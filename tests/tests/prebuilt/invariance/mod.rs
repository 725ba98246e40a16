//! Position-invariant attention against its definition in float64.

mod caches;
mod forms;
mod markers;
mod mechanism;
mod reference;
