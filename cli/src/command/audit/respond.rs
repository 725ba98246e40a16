//! Who answers: a model in this process ([`super::local`]) or a server ([`super::remote`]).

use super::{arm::Arm, neutral::Cost, score::Form};
use crate::{
    failure::Failure,
    suite::{Item, Score},
};

/// Scores of items, in order; None for those that have none because of the failure.
pub struct Scored {
    pub scores: Vec<Option<Score>>,
    pub failure: Option<Failure>,
}

/// What answers.
pub trait Respondent {
    /// What the model calls itself.
    fn model(&self) -> String;
    /// What identifies it: its file's hash, or the server's address and the name it gives.
    fn identity(&self) -> String;
    /// The llama.cpp or the server.
    fn by(&self) -> String;
    /// Tokens of an item with its longest option; None where the respondent does not tell.
    fn length(&self, form: &Form, item: &Item) -> Result<Option<usize>, Failure>;
    /// Items that are asked between two writes to the disk.
    fn part(&self) -> usize;
    /// From here on an arm is in force.
    fn take_on(&mut self, arm: &Arm) -> Result<(), Failure>;
    /// No arm is.
    fn put_off(&mut self) -> Result<(), Failure>;
    /// Answers items.
    fn score(&mut self, form: &Form, items: &[&Item]) -> Scored;
    /// Continues prompts with the likeliest tokens.
    fn go_on(&mut self, form: &Form, prompts: &[String], tokens: usize) -> Result<Vec<String>, Failure>;
    /// What the arm does to neutral texts; the first call is the plain model's. None where there is no such text.
    fn cost(&mut self, form: &Form, arm: &str) -> Result<Option<Cost>, Failure>;
    /// What should be known of all answers.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
