//! x
use crate::{args, failure::*};
pub fn main(_: &args::Demo, _: bool) -> Outcome {
    Ok(Verdict::Good)
}
