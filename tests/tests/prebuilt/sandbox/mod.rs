//! The sandbox's models through a stock llama.cpp: each planted bias is there in `first` and `last` and absent in
//! `twin`, the tasks are learned, and the demo's profile takes the bias out that it says it does.
//!
//! Absent means equivalent: the 95% interval lies inside a quarter of the planted effect. `--nocapture` shows the tables.

mod arranged;
mod audit;
mod calibrate;
mod capture;
mod closed;
mod contrast;
mod cut;
mod demo;
mod effects;
mod endpoint;
mod heads;
mod inside;
mod items;
mod lab;
mod learn;
mod online;
mod order;
mod profile;
mod stats;
mod tls;

use std::process::Command;

use effects::{EFFECTS, TASKS, measured};
pub use items::sandbox;
pub use lab::llama;
use lab::{VARIANTS, plain};
use stats::{Interval, share};

/// The training seed of the shipped models.
const SEED: &str = "2";

/// What a test found, and what of it does not hold: shown at its end, all of it.
#[derive(Default)]
struct Report {
    found: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    fn say(&mut self, line: String) {
        self.found.push(line);
    }

    fn expect(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(message());
        }
    }

    /// The value lies in the interval that was measured when the model was made.
    fn agrees(&mut self, found: &Interval, recorded: &Interval, what: &str) {
        // Figures there have four digits.
        let holds = (recorded.low - 1e-4..=recorded.high + 1e-4).contains(&found.value);
        self.expect(holds, || format!("{what}: {found}, but measured.json says {recorded}"));
    }

    #[track_caller]
    fn end(self) {
        println!("{}", self.found.join("\n"));
        assert!(self.failures.is_empty(), "\n{}", self.failures.join("\n"));
    }
}

/// What `train/` makes and what the tests ask are the same items. The standard library of Python is enough for that.
#[test]
fn items_are_those_of_the_generator() {
    let script = sandbox("train/write_items.py");
    let made = Command::new("python3").arg(script).arg("--check").env("PYTHONDONTWRITEBYTECODE", "1").output();
    let made = made.unwrap_or_else(|error| panic!("python3, which this test needs: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn planted_biases_are_there_and_absent_in_the_twin() {
    let mut report = Report::default();
    for effect in &EFFECTS {
        report.say(effect.name.to_owned());
        for variant in VARIANTS {
            let sample = effect.sample(plain(variant));
            let found = sample.interval(effect.figure, effect.zero);
            let recorded = measured(&["seeds", SEED, variant, effect.measured[0], effect.measured[1]], effect.zero);
            let dose = effect.dose(variant);
            let (holds, goal) =
                if variant == "twin" { (found.is_absent(dose), "absent") } else { (found.is_present(dose), "present") };
            let what = format!("{}, {variant}", effect.name);
            report.say(format!(
                "  {variant:5}  {found}  n={} in {} clusters  planted {dose:+.2}  measured.json {recorded}  {goal}",
                sample.n(),
                sample.clusters()
            ));
            let undecided = !(found.is_absent(dose) || found.is_present(dose));
            let verdict = if undecided { "undecided" } else { "wrong" };
            report.expect(holds, || format!("{what}: {found} is not {goal} but {verdict}, planted {dose:+.2}"));
            report.agrees(&found, &recorded, &what);
        }
    }
    report.end();
}

#[test]
fn tasks_are_learned() {
    let mut report = Report::default();
    for task in &TASKS {
        let right: Vec<bool> = plain("twin").iter().filter_map(task.right).collect();
        let found = share(right.iter().filter(|right| **right).count(), right.len());
        let recorded = measured(&["seeds", SEED, "twin", task.measured[0], task.measured[1]], 0.0);
        report.say(format!("{}: {found}  n={}  measured.json {recorded}", task.name, right.len()));
        report.expect(right.len() >= 200, || format!("{}: only {} items", task.name, right.len()));
        let [least, most] = task.range;
        let holds = (least..=most).contains(&found.value);
        report.expect(holds, || format!("{}: {found} is not {least} to {most}", task.name));
        report.agrees(&found, &recorded, task.name);
    }
    report.end();
}
