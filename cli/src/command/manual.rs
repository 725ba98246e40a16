//! `manual`: the manual pages, out of the same table as the help.

use clap::CommandFactory;

use crate::{
    args::{Cli, Manual},
    failure::{Failure, Outcome, Verdict},
};

pub fn main(args: &Manual) -> Outcome {
    let fail = |e| Failure::new(format!("{}: {e}", args.folder.display()));
    std::fs::create_dir_all(&args.folder).map_err(fail)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(fail)?;
    Ok(Verdict::Good)
}
