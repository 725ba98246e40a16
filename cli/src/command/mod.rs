//! One module per command.

mod bench;
mod check;
mod completions;
mod demo;
mod doctor;
mod explain;
mod plan;
mod run;
mod top;

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
        Command::Top(args) => top::main(args, cli.json),
        Command::Bench(args) => bench::main(args, cli.json),
        Command::Demo(args) => demo::main(args, cli.json),
        Command::Completions(args) => completions::main(args),
        Command::SelfTest(args) => doctor::self_test(args),
    }
}
