//! `completions`: what a shell needs to complete this command.

use clap::CommandFactory;

use crate::{
    args::{Cli, Completions},
    failure::{Outcome, Verdict},
};

pub fn main(args: &Completions) -> Outcome {
    // Into memory first: the generator panics where its output cannot be written.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut text);
    print!("{}", String::from_utf8_lossy(&text));
    Ok(Verdict::Good)
}
