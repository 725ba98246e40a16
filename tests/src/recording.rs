//! Logits that a host wrote, compared bit for bit.

use std::fmt::Write;

/// The logits of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `prompt` or `decode`, sequence, position.
    pub label: String,
    /// The bits of each F32 logit.
    pub logits: Vec<u32>,
}

/// All rows of one run, and the node counts or residual streams if they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// In the order they were computed.
    pub rows: Vec<Row>,
    /// Nodes of each evaluation.
    pub nodes: Vec<u32>,
    /// Residual streams, in the order they were computed.
    pub captures: Vec<Capture>,
}

/// The value of one node in one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// The node's name.
    pub name: String,
    /// One vector per row.
    pub rows: Vec<Vec<f32>>,
}

impl Recording {
    /// Reads what a host wrote: `PHASE SEQUENCE POSITION BITS...`, `nodes NUMBER` and `capture NAME WIDTH BITS...`.
    ///
    /// # Panics
    /// When it is anything else, or when there are no rows.
    pub fn parse(text: &str) -> Self {
        let mut recording = Self { rows: Vec::new(), nodes: Vec::new(), captures: Vec::new() };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["nodes", number] => recording.nodes.push(number.parse().expect("a number of nodes")),
                ["capture", name, width, values @ ..] => {
                    let value = |word: &&str| f32::from_bits(u32::from_str_radix(word, 16).expect("bits of a value"));
                    let values: Vec<f32> = values.iter().map(value).collect();
                    let rows = values.chunks(width.parse().expect("a width")).map(<[f32]>::to_vec).collect();
                    recording.captures.push(Capture { name: (*name).to_owned(), rows });
                }
                [phase @ ("prompt" | "decode"), sequence, position, logits @ ..] if !logits.is_empty() => {
                    let label = format!("{phase} {sequence} {position}");
                    let bits = |word: &&str| u32::from_str_radix(word, 16).expect("bits of a logit");
                    recording.rows.push(Row { label, logits: logits.iter().map(bits).collect() });
                }
                _ => panic!("no line of a recording: {line:.80}"),
            }
        }
        assert!(!recording.rows.is_empty(), "a recording without rows");
        recording
    }

    /// Checks that every logit is a number.
    ///
    /// # Panics
    /// When one is not.
    pub fn assert_finite(&self) {
        let finite = |row: &Row| row.logits.iter().all(|bits| f32::from_bits(*bits).is_finite());
        assert!(self.rows.iter().all(finite), "a logit is not finite");
    }

    /// The rows of one sequence.
    pub fn of_sequence(&self, sequence: u32) -> Vec<&Row> {
        let word = sequence.to_string();
        self.rows.iter().filter(|row| row.label.split(' ').nth(1) == Some(&word)).collect()
    }

    /// Checks that every bit is the same.
    ///
    /// # Panics
    /// When one differs; the message says where and by how much.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        if let Some(difference) = self.difference(other) {
            panic!("{what}: {difference}");
        }
    }

    /// Checks that the two differ in every row, so that a comparison with either means something.
    ///
    /// # Panics
    /// When a row is the same.
    #[track_caller]
    pub fn assert_all_differ(&self, other: &Self, what: &str) {
        assert_eq!(self.rows.len(), other.rows.len(), "{what}: number of rows");
        for (a, b) in self.rows.iter().zip(&other.rows) {
            assert_ne!(a.logits, b.logits, "{what}: {} is the same", a.label);
        }
    }

    /// The largest difference of a logit from another run's.
    ///
    /// # Panics
    /// When the runs have different rows.
    pub fn distance(&self, other: &Self) -> f32 {
        assert_eq!(self.rows.len(), other.rows.len(), "number of rows");
        let row = |(a, b): (&Row, &Row)| a.logits.iter().zip(&b.logits).map(gap).fold(0.0, f32::max);
        self.rows.iter().zip(&other.rows).map(row).fold(0.0, f32::max)
    }

    fn difference(&self, other: &Self) -> Option<String> {
        if self.rows.len() != other.rows.len() {
            return Some(format!("{} rows and {} rows", self.rows.len(), other.rows.len()));
        }
        let mut text = String::new();
        for (a, b) in self.rows.iter().zip(&other.rows).filter(|(a, b)| a != b) {
            let count = a.logits.iter().zip(&b.logits).filter(|(a, b)| a != b).count();
            let largest = a.logits.iter().zip(&b.logits).map(gap).fold(0.0, f32::max);
            let name = if a.label == b.label { a.label.clone() } else { format!("{} / {}", a.label, b.label) };
            write!(text, "\n  {name}: {count} of {} logits differ, by up to {largest:e}", a.logits.len())
                .expect("a string takes text");
        }
        (!text.is_empty()).then_some(text)
    }
}

fn gap((a, b): (&u32, &u32)) -> f32 {
    (f32::from_bits(*a) - f32::from_bits(*b)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_a_difference() {
        let a = Recording::parse("prompt 0 0 3f800000 00000000\nnodes 7\n");
        let b = Recording::parse("prompt 0 0 3f800001 00000000\nnodes 7\n");
        assert_eq!(a.nodes, [7]);
        assert_eq!(a.difference(&a), None);
        assert!(a.difference(&b).is_some_and(|text| text.contains("prompt 0 0: 1 of 2")));
        assert!(a.distance(&b) > 0.0);
    }

    #[test]
    #[should_panic(expected = "without rows")]
    fn an_empty_file_is_no_recording() {
        Recording::parse("nodes 7\n");
    }
}
