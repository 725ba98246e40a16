//! Position-invariant attention against its definition in float64.

mod mechanism;
mod reference;
