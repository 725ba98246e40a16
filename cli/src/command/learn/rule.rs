//! The rule that is tried, and at last written: one text for both.

use std::fmt::Write as _;

use super::Operator;

/// A rule of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    pub operator: Operator,
    /// The file with the direction, the eraser or the feature.
    pub file: String,
    /// For rotate: the second direction.
    pub plane: Option<String>,
    /// First and last layer.
    pub layers: (usize, usize),
    /// Strength, fraction or angle.
    pub dose: f64,
    pub gate: Option<Gate>,
}

/// When it acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub kind: When,
    pub file: String,
    pub layer: usize,
    pub above: f64,
}

/// What decides whether a rule acts on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// The row is like the positive class by the learned probe.
    Probe,
    /// The row is similar to the learned direction (CAST).
    Similar,
}

impl Rule {
    /// A whole profile; `head` becomes comment lines above it.
    pub fn profile(&self, head: &[String]) -> String {
        let mut text: String = head.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
        let name = &self.name;
        let _ = write!(text, "schema = 1\nname = \"{name}\"\n\n[[steer]]\nname = \"{name}\"\n");
        let key = match self.operator {
            Operator::Affine => "eraser",
            Operator::Sae => "feature",
            _ => "direction",
        };
        let _ = writeln!(text, "{key} = \"{}\"\noperator = \"{}\"", self.file, self.operator.key());
        if let Some(plane) = &self.plane {
            let _ = writeln!(text, "plane = \"{plane}\"");
        }
        let dose = match self.operator {
            Operator::Add => "strength",
            Operator::Project | Operator::Affine => "fraction",
            Operator::Rotate => "angle",
            Operator::Sae => "target",
        };
        let _ = writeln!(text, "{dose} = {:?}", self.dose);
        let (first, last) = self.layers;
        let _ = match first == last {
            true => writeln!(text, "layers = {first}"),
            false => writeln!(text, "layers = \"{first}..{last}\""),
        };
        if let Some(gate) = &self.gate {
            let key = match gate.kind {
                When::Probe => "probe",
                When::Similar => "similar-to",
            };
            let (file, layer, above) = (&gate.file, gate.layer, gate.above);
            let _ = writeln!(text, "when = {{ {key} = \"{file}\", layer = {layer}, above = {above:.4} }}");
        }
        text
    }
}

/// Spans of layers that are tried: all of a small model's (but for layer 0, at which llama.cpp's own control vectors
/// cannot act), of a larger one's every span of up to three sixths of it.
pub fn spans(n_layer: usize) -> Vec<(usize, usize)> {
    const SMALL: usize = 7;
    const PARTS: usize = 6;
    let last = n_layer.saturating_sub(1);
    if n_layer <= SMALL {
        return (1..n_layer).flat_map(|a| (a..n_layer).map(move |b| (a, b))).collect();
    }
    let cut = |part: usize| 1 + part * last / PARTS;
    let mut all: Vec<(usize, usize)> =
        (1..=3).flat_map(|length| (0..=PARTS - length).map(move |a| (cut(a), cut(a + length) - 1))).collect();
    all.push((1, last));
    all
}

#[cfg(test)]
mod tests {
    use evenkeel_core::profile::Profile;

    use super::*;

    #[test]
    fn every_operator_gives_a_profile_that_can_be_read() {
        for (operator, dose) in [
            (Operator::Add, -1.5),
            (Operator::Project, 1.0),
            (Operator::Affine, 1.0),
            (Operator::Rotate, 30.0),
            (Operator::Sae, 0.0),
        ] {
            for kind in [None, Some(When::Probe), Some(When::Similar)] {
                let gate = kind.map(|kind| Gate { kind, file: "g.safetensors".into(), layer: 1, above: 0.5 });
                let plane = (operator == Operator::Rotate).then(|| "p.gguf".to_owned());
                let (name, file) = ("n".into(), "v.gguf".into());
                let text = Rule { name, operator, file, plane, layers: (2, 3), dose, gate }.profile(&["why".into()]);
                Profile::parse(&text, "p.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
            }
        }
    }

    #[test]
    fn spans_lie_in_the_model_and_never_at_layer_0() {
        assert_eq!(spans(4), [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]);
        for n in [8, 12, 32, 80] {
            let all = spans(n);
            assert!(all.iter().all(|(a, b)| 1 <= *a && a <= b && *b < n), "{n}: {all:?}");
            assert!(all.contains(&(1, n - 1)) && all.len() == 16, "{n}: {all:?}");
        }
    }
}
