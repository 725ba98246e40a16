//! One module per command.

mod audit;
mod bench;
mod calibrate;
mod check;
mod completions;
mod contexts;
mod demo;
mod doctor;
mod explain;
mod learn;
mod manual;
mod plan;
mod report;
mod run;
mod segments;
mod sketch;
mod top;

pub use audit::Measured;
pub use learn::{Method, Operator, When};

use learn::write::{tensors as tensors_file, vector as vector_file};

use crate::{
    args::{Cli, Command},
    failure::Outcome,
};

/// Does what was typed.
pub fn dispatch(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Check(args) => check::main(args, cli.json),
        Command::Plan(args) => plan::main(args, cli.json),
        Command::Doctor(args) => doctor::main(args, cli.json),
        Command::Explain(args) => explain::main(args, cli.json),
        Command::Run(args) => run::main(args, cli.json),
        Command::Learn(args) => learn::main(args, cli.json),
        Command::LearnHeads(args) => learn::heads::main(args, cli.json),
        Command::Audit(args) => audit::main(args, cli.json),
        Command::Calibrate(args) => calibrate::main(args, cli.json),
        Command::Report(args) => report::main(args),
        Command::Top(args) => top::main(args, cli.json),
        Command::Bench(args) => bench::main(args, cli.json),
        Command::Demo(args) => demo::main(args, cli.json),
        Command::Completions(args) => completions::main(args),
        Command::Manual(args) => manual::main(args),
        Command::SelfTest(args) => doctor::self_test(args),
    }
}
