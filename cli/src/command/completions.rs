//! `completions`: what a shell needs to complete this command.

use clap::CommandFactory;

use crate::{
    args::{Cli, Completions},
    failure::{Outcome, Verdict},
};

pub fn main(args: &Completions) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut std::io::stdout());
    Ok(Verdict::Good)
}
