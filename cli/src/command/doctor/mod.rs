//! x
use crate::{args, failure::*};
pub fn main(_: &args::Doctor, _: bool) -> Outcome {
    Ok(Verdict::Good)
}
pub fn self_test(_: &args::SelfTest) -> Outcome {
    Ok(Verdict::Good)
}
