//! Position-invariant attention against its definition in float64.

mod markers;
mod mechanism;
mod reference;
