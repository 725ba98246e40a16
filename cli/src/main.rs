//! The command line tool: reads profiles and programs, and drives llama.cpp with the plug-in as any host would.
//!
//! `args` is what can be typed, `command` has one module per command, `locate` finds llama.cpp and the plug-in,
//! `elf` reads programs and libraries without running them, `session` is a model in a llama.cpp with the plug-in
//! beside it, `examples` reads labelled texts, `capture` a model's residual streams of them, `estimate` has the statistics
//! of both, and `screen` is everything about terminals.
#![forbid(unsafe_code)]

mod args;
mod ask;
mod capture;
mod command;
mod elf;
mod estimate;
mod examples;
mod failure;
mod hash;
mod locate;
mod logits;
mod neutral;
mod screen;
mod session;
mod stats;
mod suite;
mod write;

use std::process::ExitCode;

use clap::Parser;
use owo_colors::OwoColorize;

fn main() -> ExitCode {
    screen::end_with_standard_output();
    let cli = args::Cli::parse_from(args::joined(std::env::args_os().collect()));
    match command::dispatch(&cli) {
        Ok(verdict) => verdict.into(),
        Err(failure) => {
            if cli.json {
                screen::json(&serde_json::json!({ "error": failure.to_string() }));
            }
            anstream::eprintln!("{} {failure}", "error:".red().bold());
            failure.code()
        }
    }
}
