//! A page of bars with intervals.

use std::fmt::Write as _;

use minijinja::{Environment, context};
use serde::Serialize;

use super::plot::Plot;
use crate::{estimate::Interval, failure::Failure};

/// The whole page.
pub struct Page {
    pub title: String,
    pub sections: Vec<Section>,
}

/// One result.
pub struct Section {
    pub title: String,
    pub summary: String,
    pub facts: Vec<(String, String)>,
    pub charts: Vec<Chart>,
    pub notes: Vec<String>,
    pub plots: Vec<Plot>,
    /// Prompts, and for each how the runs go on.
    pub examples: Vec<(String, Vec<(String, String)>)>,
    /// Names and long texts, such as profiles.
    pub texts: Vec<(String, String)>,
}

/// Bars of one figure.
pub struct Chart {
    pub title: String,
    pub note: String,
    pub rows: Vec<Row>,
    /// What counts as none lies within this.
    pub margin: Option<f64>,
}

/// One bar.
pub struct Row {
    pub name: String,
    pub value: Interval,
    pub said: String,
    /// Drawn in the colour of what the page is about.
    pub strong: bool,
}

/// A bar in parts of the chart's width, in percent.
#[derive(Serialize)]
struct Bar<'a> {
    name: &'a str,
    number: String,
    said: &'a str,
    strong: bool,
    left: f64,
    width: f64,
    /// The interval; none where there is none.
    whisker: Option<[f64; 2]>,
}

#[derive(Serialize)]
struct Drawn<'a> {
    title: &'a str,
    note: &'a str,
    bars: Vec<Bar<'a>>,
    zero: f64,
    /// Where what counts as none begins, and how wide it is.
    margin: Option<[f64; 2]>,
}

impl Page {
    /// As one file without anything from elsewhere.
    pub fn html(&self) -> Result<String, Failure> {
        let mut environment = Environment::new();
        // A name that ends in .html: everything that is put in is escaped.
        environment.add_template("page.html", include_str!("page.html")).map_err(Failure::new)?;
        let sections: Vec<_> = self
            .sections
            .iter()
            .map(|s| {
                let charts: Vec<Drawn<'_>> = s.charts.iter().map(Chart::drawn).collect();
                let plots = s.plots.iter().map(|p| {
                    let (rows, legend) = (p.rows(), p.legend());
                    context! {
                        title => p.title, note => p.note, svg => p.svg(), rows => rows, legend => legend,
                        x => p.x.name, y => p.y.name
                    }
                });
                context! {
                    title => s.title, summary => s.summary, facts => s.facts, charts => charts,
                    notes => s.notes, plots => plots.collect::<Vec<_>>(), examples => s.examples, texts => s.texts
                }
            })
            .collect();
        let template = environment.get_template("page.html").map_err(Failure::new)?;
        template.render(context! { title => self.title, sections => sections }).map_err(Failure::new)
    }

    /// As text.
    pub fn markdown(&self) -> String {
        let plain = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut out = String::new();
        for s in &self.sections {
            let _ = writeln!(out, "# {}\n\n{}\n", plain(&s.title), s.summary);
            s.facts.iter().for_each(|(k, v)| {
                let _ = writeln!(out, "- {}: {}", plain(k), plain(v));
            });
            s.notes.iter().for_each(|n| {
                let _ = writeln!(out, "- **Note**: {}", plain(n));
            });
            for c in &s.charts {
                let _ = writeln!(
                    out,
                    "\n## {}\n\n{}\n\n| | value [95%] | |\n|---|---|---|",
                    plain(&c.title),
                    plain(&c.note)
                );
                for r in &c.rows {
                    let _ = writeln!(out, "| {} | {} | {} |", plain(&r.name), number(&r.value), plain(&r.said));
                }
            }
            for p in &s.plots {
                let _ = writeln!(
                    out,
                    "\n## {}\n\n{}\n\n| run | | {} | {} |\n|---|---|---|---|",
                    plain(&p.title),
                    plain(&p.note),
                    plain(&p.x.name),
                    plain(&p.y.name)
                );
                for [name, label, x, y] in p.rows() {
                    let _ = writeln!(out, "| {} | {} | {x} | {y} |", plain(&name), plain(&label));
                }
            }
            for (prompt, texts) in &s.examples {
                let _ = writeln!(out, "\n## After \"{}\"\n\n| run | text |\n|---|---|", plain(prompt));
                for (name, text) in texts {
                    let _ = writeln!(out, "| {} | {} |", plain(name), plain(text));
                }
            }
            out.push('\n');
        }
        out
    }
}

impl Chart {
    fn drawn(&self) -> Drawn<'_> {
        let ends = self.rows.iter().flat_map(|r| [r.value.value, r.value.low, r.value.high]).filter(|x| x.is_finite());
        let margin = self.margin.unwrap_or_default();
        let (mut low, mut high) = ends.fold((-margin, margin), |(l, h), x| (l.min(x), h.max(x)));
        if high - low <= 0.0 {
            high = low + 1.0;
        }
        let room = (high - low) * 0.03;
        low -= if low < 0.0 { room } else { 0.0 };
        high += room;
        let at = |x: f64| ((x - low) / (high - low) * 100.0 * 100.0).round() / 100.0;
        let bar = |r: &'_ Row| {
            let value = if r.value.value.is_finite() { r.value.value } else { 0.0 };
            let (a, b) = (at(value.min(0.0)), at(value.max(0.0)));
            let whisker = (r.value.low.is_finite() && r.value.high.is_finite())
                .then(|| [at(r.value.low), at(r.value.high) - at(r.value.low)]);
            (number(&r.value), a, b - a, whisker)
        };
        let bars = self.rows.iter().map(|r| {
            let (number, left, width, whisker) = bar(r);
            Bar { name: &r.name, number, said: &r.said, strong: r.strong, left, width, whisker }
        });
        Drawn {
            title: &self.title,
            note: &self.note,
            bars: bars.collect(),
            zero: at(0.0),
            margin: self.margin.map(|m| [at(-m), at(m) - at(-m)]),
        }
    }
}

/// A value, with its interval where there is one.
fn number(value: &Interval) -> String {
    match (value.value.is_finite(), value.low.is_finite()) {
        (false, _) => "–".into(),
        (true, true) => value.to_string(),
        (true, false) => format!("{:.3}", value.value),
    }
}
