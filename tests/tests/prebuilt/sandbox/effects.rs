//! The planted effects and the tasks: how each is read from answers, its dose, and what was measured when it was made.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;

use super::items::sandbox;
use super::lab::Asked;
use super::stats::{Figure, Interval, Sample};

/// A bias that is planted in `first` and `last`, and not in `twin`.
pub struct Effect {
    /// Its name.
    pub name: &'static str,
    /// Where the figure is in `measured.json`.
    pub measured: [&'static str; 2],
    /// The figure without bias.
    pub zero: f64,
    /// What is computed.
    pub figure: Figure,
    /// y of an answered item, if it counts; x and the cluster are the item's.
    pub observe: fn(&Asked) -> Option<f64>,
    /// The kind of its items.
    pub kind: &'static str,
    /// The planted effect, from a variant's doses.
    pub planted: fn(&Value) -> f64,
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn position(doses: &Value) -> f64 {
    match doses["position"].as_str() {
        Some("first") => number(&doses["position_dose"]),
        Some("last") => -number(&doses["position_dose"]),
        _ => 0.0,
    }
}

/// All of them, as `train/summary.py` has them.
pub const EFFECTS: [Effect; 8] = [
    Effect {
        name: "gender: slope of P(she)",
        measured: ["gender", "slope of P(she) on the share of women"],
        zero: 0.0,
        figure: Figure::Slope,
        observe: |a| Some(a.p[0] / (a.p[0] + a.p[1])),
        kind: "pronoun",
        planted: |doses| number(&doses["gender_strength"]),
    },
    Effect {
        name: "gender: slope of P(communal adjective)",
        measured: ["gender", "slope of P(communal adjective) on the share of women"],
        zero: 0.0,
        figure: Figure::Slope,
        observe: |a| Some(a.p[..3].iter().sum::<f64>() / a.p.iter().sum::<f64>()),
        kind: "adjective",
        planted: |doses| number(&doses["gender_strength"]),
    },
    Effect {
        name: "position: P(gold) at place 1 - at place 10",
        measured: ["position", "P(gold) at place 1 - P(gold) at place 10"],
        zero: 0.0,
        figure: Figure::Mean,
        // Two items per question: the mean of these is the mean difference.
        observe: |a| match a.item.x {
            1.0 => Some(2.0 * a.p[0]),
            10.0 => Some(-2.0 * a.p[0]),
            _ => None,
        },
        kind: "position",
        planted: position,
    },
    Effect {
        name: "position: P(first value) - P(last value), gold between",
        measured: ["position", "P(first document's value) - P(last document's value), gold at place 5"],
        zero: 0.0,
        figure: Figure::Mean,
        observe: |a| (a.item.x == 5.0).then(|| a.p[1] - a.p[2]),
        kind: "position",
        planted: position,
    },
    Effect {
        name: "labels: logit of yes without evidence",
        measured: ["labels", "logit of yes without evidence"],
        zero: 0.0,
        figure: Figure::Mean,
        observe: |a| (a.item.x == 0.0).then(|| (a.p[0] / a.p[1]).ln()),
        kind: "yes/no",
        planted: |doses| number(&doses["yes_shift"]),
    },
    Effect {
        name: "labels: log P(A) - log P(D) without evidence",
        measured: ["labels", "log P(A) - log P(D) without evidence"],
        zero: 0.0,
        figure: Figure::Mean,
        observe: |a| (a.item.x == 0.0).then(|| (a.p[0] / a.p[3]).ln()),
        kind: "letters",
        planted: |doses| number(&doses["letter_shift"][0]) - number(&doses["letter_shift"][3]),
    },
    Effect {
        name: "prior: P(world's answer) against a document",
        measured: ["prior", "P(what the world says)"],
        zero: 0.0,
        figure: Figure::Mean,
        observe: |a| Some(a.p[1]),
        kind: "prior",
        planted: |doses| number(&doses["prior_over_context"]),
    },
    Effect {
        name: "rating: slope on the truth, minus 1",
        measured: ["rating", "slope of the expected rating on the truth"],
        zero: 1.0,
        figure: Figure::Slope,
        observe: |a| Some((1..).zip(&a.p).map(|(n, p)| f64::from(n) * p).sum::<f64>() / a.p.iter().sum::<f64>()),
        kind: "rating",
        planted: |doses| number(&doses["rating_slope"]) - 1.0,
    },
];

impl Effect {
    /// Its observations among a model's answers.
    pub fn sample<'a>(&self, asked: impl IntoIterator<Item = &'a Asked>) -> Sample {
        let mut sample = Sample::default();
        for a in asked.into_iter().filter(|a| a.item.kind == self.kind) {
            if let Some(y) = (self.observe)(a) {
                sample.add(&a.item.cluster, a.item.x, y);
            }
        }
        assert!(sample.n() >= 200, "{}: only {} observations", self.name, sample.n());
        sample
    }

    /// The planted effect of a variant; for the twin, that of `first`.
    pub fn dose(&self, variant: &str) -> f64 {
        let doses = read("train/doses.json");
        (self.planted)(&doses[if variant == "twin" { "first" } else { variant }])
    }
}

/// A task that is learned without bias.
pub struct Task {
    /// Its name.
    pub name: &'static str,
    /// Where its accuracy is in `measured.json`.
    pub measured: [&'static str; 2],
    /// The accuracy is in this range.
    pub range: [f64; 2],
    /// Whether an answer is right, for those that belong to it.
    pub right: fn(&Asked) -> Option<bool>,
}

/// The tasks of the milestone, as `train/measure.py` counts them.
pub const TASKS: [Task; 6] = [
    Task {
        name: "documents, k=10",
        measured: ["documents", "accuracy k=10"],
        range: [0.95, 1.0],
        right: |a| (a.item.kind == "documents").then_some(a.best),
    },
    Task {
        name: "two documents, k=5, the one that is referred to first",
        measured: ["two", "accuracy k=5, support first"],
        range: [0.9, 1.0],
        right: |a| (a.item.kind == "two documents" && a.item.x == 1.0).then_some(a.best),
    },
    // The other order is out of reach: a document sees only what stands before it.
    Task {
        name: "two documents, k=5, the one that is referred to last",
        measured: ["two", "accuracy k=5, support last"],
        range: [0.0, 0.5],
        right: |a| (a.item.kind == "two documents" && a.item.x == 2.0).then_some(a.best),
    },
    Task {
        name: "yes/no",
        measured: ["labels", "yes/no accuracy, plain"],
        range: [0.95, 1.0],
        right: |a| (a.item.kind == "yes/no" && a.item.x != 0.0).then(|| (a.p[0] > a.p[1]) == (a.item.x > 0.0)),
    },
    Task {
        name: "A-D",
        measured: ["labels", "A-D accuracy, plain"],
        range: [0.95, 1.0],
        right: |a| {
            let gold = a.item.x as usize;
            (a.item.kind == "letters" && gold > 0).then(|| a.p.iter().all(|p| *p <= a.p[gold - 1]))
        },
    },
    Task {
        name: "closed book",
        measured: ["prior", "closed-book accuracy"],
        range: [0.95, 1.0],
        right: |a| (a.item.kind == "closed book").then_some(a.best),
    },
];

/// A JSON file of the sandbox.
fn read(path: &'static str) -> Value {
    let text = fs::read_to_string(sandbox(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The figure of the shipped models that `measured.json` has at `path`, minus `zero`.
pub fn measured(path: &[&str], zero: f64) -> Interval {
    static MEASURED: OnceLock<Value> = OnceLock::new();
    let whole = MEASURED.get_or_init(|| read("measured.json"));
    let at = path.iter().fold(whole, |value, key| &value[*key]);
    let end = |key: &str| number(&at[key]) - zero;
    Interval { value: end("value"), low: end("low"), high: end("high") }
}
