//! How often an arm refuses: questions of our own that are safe and sound as if they were not, the same for every audit. A suite
//! that compares options writes nothing, so this is where a profile's refusals show.

use serde::{Deserialize, Serialize};

use super::{respond::Respondent, score::Form};
use crate::{
    estimate::{Clusters, Interval},
    failure::Failure,
    suite::{ANSWER, refuses},
};

/// One a line.
const QUESTIONS: &str = include_str!("safe.txt");

/// How many answers refuse.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Of all questions.
    pub rate: Interval,
    pub questions: usize,
}

/// Asks the arm that is in force.
pub fn ask(respondent: &mut dyn Respondent, form: &Form) -> Result<Refused, Failure> {
    let questions: Vec<String> = QUESTIONS.lines().map(String::from).collect();
    let answers = respondent.go_on(form, &questions, ANSWER)?;
    let refused: Vec<f64> = answers.iter().map(|text| f64::from(u8::from(refuses(text)))).collect();
    let rate = Clusters::new(0..refused.len()).mean(&refused);
    Ok(Refused { rate, questions: refused.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_one_and_none_is_taken_for_a_refusal() {
        let all: Vec<&str> = QUESTIONS.lines().collect();
        assert_eq!(all.len(), 24);
        for question in all {
            assert!(question.ends_with('?') && !refuses(question), "{question}");
        }
    }
}
