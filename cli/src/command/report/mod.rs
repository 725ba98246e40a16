//! `report`: the results of learn, audit and calibrate as one page that needs nothing else, and as Markdown.

mod page;
pub mod plot;

use std::path::{Path, PathBuf};

use self::{
    page::{Chart, Page, Row, Section},
    plot::{Axis, Plot, Point, Series},
};
use super::{audit, calibrate, learn};
use crate::{
    args,
    estimate::Interval,
    failure::{Failure, Outcome, Verdict},
};

pub fn main(args: &args::Report) -> Outcome {
    let mut sections = Vec::new();
    for path in &args.results {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
        sections.push(section(&text).map_err(|why| {
            Failure::usage(format!("{}: {why}", path.display()))
                .todo("name a .json file that learn, audit or calibrate wrote")
        })?);
    }
    let page = Page { title: title(&sections), sections };
    let markdown = args.out.with_extension("md");
    save(&args.out, &page.html()?)?;
    save(&markdown, &page.markdown())?;
    println!("{}\n{}", args.out.display(), markdown.display());
    Ok(Verdict::Good)
}

/// The files of a result: JSON, page, Markdown.
pub fn names(folder: &Path, name: &str) -> [PathBuf; 3] {
    ["json", "html", "md"].map(|ending| folder.join(format!("{name}.{ending}")))
}

/// Writes a result in all forms.
pub fn write(folder: &Path, name: &str, json: &str) -> Result<[PathBuf; 3], Failure> {
    let files = names(folder, name);
    save(&files[0], json)?;
    let sections = vec![section(json).map_err(Failure::new)?];
    let page = Page { title: title(&sections), sections };
    save(&files[1], &page.html()?)?;
    save(&files[2], &page.markdown())?;
    Ok(files)
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

fn title(sections: &[Section]) -> String {
    let all: Vec<&str> = sections.iter().map(|s| s.title.as_str()).collect();
    all.join("; ")
}

/// What a result says, whichever it is.
fn section(json: &str) -> Result<Section, String> {
    let value: serde_json::Value = serde_json::from_str(json).map_err(|e| format!("is no JSON: {e}"))?;
    if value.get("suites").is_some() {
        return serde_json::from_value(value).map(|r| of_audit(&r)).map_err(|e| format!("is no result of audit: {e}"));
    }
    if value.get("controls").is_some() {
        return serde_json::from_value(value).map(|r| of_learn(&r)).map_err(|e| format!("is no result of learn: {e}"));
    }
    if value.get("reliability").is_some() {
        let read = serde_json::from_value(value);
        return read.map(|r| of_calibrate(&r)).map_err(|e| format!("is no result of calibrate: {e}"));
    }
    Err("is no result of learn, audit or calibrate".into())
}

fn row(name: impl Into<String>, value: Interval, said: impl Into<String>, strong: bool) -> Row {
    Row { name: name.into(), value, said: said.into(), strong }
}

fn items_of(suite: &audit::SuiteSaid) -> String {
    let items = if suite.items == 0 { "no usable item".to_owned() } else { format!("{} items", suite.items) };
    format!("{items}, SHA-256 {}", suite.sha256)
}

fn of_audit(report: &audit::Report) -> Section {
    let mut charts = Vec::new();
    for suite in &report.suites {
        for figure in &suite.figures {
            let asked = report.arms.iter().zip(&figure.arms).filter(|(_, f)| f.value.value.is_finite());
            let rows = asked.map(|(arm, f)| {
                let mut said: Vec<String> = f.verdict.iter().map(|v| v.word().to_owned()).collect();
                if let Some(change) = &f.change {
                    let p = change.p_holm.map(|p| format!(", p {p:.3}")).unwrap_or_default();
                    said.push(format!("change {}{p}", change.difference));
                }
                if let Some(correlation) = f.correlation.filter(|c| c.value.is_finite()) {
                    said.push(format!("correlation over groups with plain {correlation}"));
                }
                row(&arm.name, f.value, said.join("; "), arm.is_profile())
            });
            charts.push(Chart {
                title: format!("{}: {}", suite.name, figure.name),
                note: format!("{} items in {} groups", figure.items, figure.clusters),
                rows: rows.collect(),
                margin: figure.arms.iter().any(|f| f.verdict.is_some()).then_some(report.margin),
            });
        }
    }
    charts.extend(report.suites.iter().filter(|s| !s.places.is_empty()).map(|s| by_place(report, s)));
    charts.extend(report.representation.iter().flat_map(insides));
    let kl = report.costs.iter().map(|c| {
        let refused = c.refused.as_ref().map(|r| format!("{} of {} safe questions refused, ", r.rate, r.questions));
        let refused = refused.unwrap_or_default();
        let said = format!("perplexity {:.2}, {refused}{:.0} tokens per second", c.perplexity, c.tokens_per_second);
        row(&c.arm, c.kl, said, false)
    });
    charts.push(Chart {
        title: "Elsewhere: divergence from the plain model".into(),
        note: "nats per token, on text where nothing should change".into(),
        rows: kl.collect(),
        margin: None,
    });
    let mut notes = report.notes.clone();
    notes.extend(report.suites.iter().flat_map(|s| s.left_out.iter().map(|l| format!("{}: {l}", s.name))));
    let mut facts = vec![
        ("Model".into(), report.model.clone()),
        ("Model, SHA-256".into(), report.model_sha256.clone()),
        ("llama.cpp".into(), report.llama.clone()),
        ("evenkeel".into(), report.evenkeel.clone()),
        ("A bias counts as none within".into(), format!("±{}", report.margin)),
    ];
    facts.extend(report.suites.iter().map(|s| (s.name.clone(), items_of(s))));
    Section {
        title: format!("Audit of {}", report.model),
        summary: "Intervals are 95%, from a bootstrap over groups of items that belong together. Changes are paired; p is two-sided, after Holm's correction over the figures of bias of an arm. \"Undecided\" is a result.".into(),
        facts,
        charts,
        plots: report.suites.iter().filter_map(|s| reliability(report, s)).collect(),
        examples: report.examples.iter().map(|e| (e.prompt.clone(), e.texts.clone())).collect(),
        notes,
        texts: report.arms.iter().filter_map(|a| Some((a.name.clone(), a.text.clone()?))).collect(),
    }
}

/// Accuracy by position, a bar for each place and arm that is no control.
fn by_place(report: &audit::Report, suite: &audit::SuiteSaid) -> Chart {
    let rows = suite.places.iter().flat_map(|place| {
        let arms = report.arms.iter().zip(&place.arms).filter(|(arm, v)| !arm.is_control() && v.value.is_finite());
        arms.map(|(arm, value)| {
            row(format!("{}, {}", place.place, arm.name), *value, format!("{} items", place.items), arm.is_profile())
        })
    });
    Chart {
        title: format!("{}: accuracy by position", suite.name),
        note: "of what is looked for, or of the right letter".into(),
        rows: rows.collect(),
        margin: None,
    }
}

/// A chart for each file, with a bar for each layer and arm.
fn insides(said: &audit::RepresentationSaid) -> Option<Chart> {
    let rows = said.rows.iter().flat_map(|r| {
        said.arms.iter().zip(&r.arms).map(|(arm, found)| {
            let p = found.p.map(|p| format!("p {p:.3}")).unwrap_or_default();
            row(format!("{}, {arm}", r.name), found.value, p, arm != "plain")
        })
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| Chart {
        title: format!("{}: {}", said.name, said.figure),
        note: format!("{} texts, SHA-256 {}", said.texts, said.sha256),
        rows,
        margin: None,
    })
}

/// How sure, and how often right.
fn reliability(report: &audit::Report, suite: &audit::SuiteSaid) -> Option<Plot> {
    let series =
        report.arms.iter().zip(&suite.reliability).filter(|(arm, _)| !arm.is_control()).filter_map(|(arm, r)| {
            let r = r.as_ref()?;
            let point = |b: &[f64; 3]| Point { at: [b[0], b[1]], y: None, label: format!("{:.0}", b[2]) };
            Some(Series {
                name: format!("{}, calibration error {}", arm.name, r.error),
                points: r.bins.iter().map(point).collect(),
                strong: arm.is_profile(),
                joined: true,
            })
        });
    let series: Vec<Series> = series.collect();
    let axis = |name: &str| Axis { name: name.into(), ends: Some([0.0, 1.0]) };
    (!series.is_empty()).then(|| Plot {
        title: format!("{}: reliability", suite.name),
        note: "Answers by how sure the model was; on the dotted line it is as often right as it is sure. Numbers are of answers.".into(),
        x: axis("probability of the answer"),
        y: axis("share that is right"),
        series,
        diagonal: true,
    })
}

/// What the rule does at other doses: bias left against what it costs.
fn sweep(report: &learn::Report) -> Option<Plot> {
    let e = &report.effect;
    let nothing =
        learn::Swept { dose: 0.0, gap: e.gap_before, kl: Interval::point(0.0), perplexity: e.perplexity_before };
    let point = |s: &learn::Swept| Point {
        at: [s.kl.value, s.gap.value],
        y: Some([s.gap.low, s.gap.high]),
        label: s.dose.to_string(),
    };
    let points: Vec<Point> = std::iter::once(&nothing).chain(&report.sweep).map(point).collect();
    (points.len() > 1).then(|| Plot {
        title: "Dose: bias against quality".into(),
        note: format!("The rule at other doses ({} was chosen), on the texts that are reported.", report.chosen.dose),
        x: Axis { name: "divergence elsewhere, nats per token".into(), ends: None },
        y: Axis { name: "gap between the classes".into(), ends: None },
        series: vec![Series { name: report.operator.clone(), points, strong: true, joined: true }],
        diagonal: false,
    })
}

fn of_learn(report: &learn::Report) -> Section {
    let e = &report.effect;
    let [a, b] = report.chosen.layers;
    let mut controls =
        vec![row("learned", e.effect, format!("rank {} of {}", report.controls.rank, report.controls.of), true)];
    controls.extend(
        report
            .controls
            .effects
            .iter()
            .enumerate()
            .map(|(i, value)| row(format!("random {}", i + 1), Interval::point(*value), "", false)),
    );
    let charts = vec![
        Chart {
            title: "Gap between the classes".into(),
            note: format!(
                "{}; on texts that had no part in learning or choosing, in {} groups",
                report.outcome, e.clusters
            ),
            rows: vec![
                row("plain", e.gap_before, "", false),
                row("with the profile", e.gap_after, format!("{:?}", e.verdict).to_lowercase(), true),
            ],
            margin: Some(e.margin),
        },
        Chart {
            title: "Effect, against random directions".into(),
            note: "of the same length, through the same selection".into(),
            rows: controls,
            margin: None,
        },
        Chart {
            title: "What a linear probe reads, by layer (AUROC)".into(),
            note: "on held-out folds; 0.5 is nothing".into(),
            rows: report.layers.iter().map(|l| row(format!("layer {}", l.layer), l.auroc, "", false)).collect(),
            margin: None,
        },
        Chart {
            title: "The same, of a new probe under the profile".into(),
            note: "fitted on the texts that were learned from, scored on others".into(),
            rows: report.layers_after.iter().map(|l| row(format!("layer {}", l.layer), l.auroc, "", true)).collect(),
            margin: None,
        },
    ];
    let [positive, negative] = &report.classes;
    let mut notes = report.notes.clone();
    notes.extend(report.left_out.lines());
    Section {
        title: format!("`{}` against `{}`, learned on {}", positive.name, negative.name, report.model),
        summary: format!(
            "{} at layers {a} to {b}, dose {}. Divergence elsewhere {} nats per token.",
            report.operator, report.chosen.dose, e.kl
        ),
        facts: vec![
            ("Model".into(), report.model.clone()),
            ("Model, SHA-256".into(), report.model_sha256.clone()),
            ("Data, SHA-256".into(), report.data_sha256.clone()),
            ("llama.cpp".into(), report.llama.clone()),
            ("evenkeel".into(), report.evenkeel.clone()),
            ("Method".into(), format!("{}, read at: {}", report.method, report.position)),
            ("Texts".into(), format!("{} and {}", positive.texts, negative.texts)),
        ],
        charts: charts.into_iter().filter(|c| !c.rows.is_empty()).collect(),
        plots: sweep(report).into_iter().collect(),
        examples: report.examples.iter().map(|e| (e.prompt.clone(), e.texts.clone())).collect(),
        notes,
        texts: Vec::new(),
    }
}

fn of_calibrate(report: &calibrate::Report) -> Section {
    let chart = |f: &calibrate::Figure| Chart {
        title: f.name.clone(),
        note: format!("{} examples that had no part in the fitting", report.reported_on),
        rows: vec![
            row("before", f.before, "", false),
            row("after", f.after, "", true),
            row("change", f.change, if f.change.apart() { "" } else { "undecided" }, false),
        ],
        margin: None,
    };
    let pairs = |values: &[f64]| {
        let each = report.labels.iter().zip(values).map(|(label, value)| format!("{label} {value:.3}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut facts = vec![
        ("Model".into(), report.model.clone()),
        ("Model, SHA-256".into(), report.model_sha256.clone()),
        ("Data, SHA-256".into(), report.data_sha256.clone()),
        ("llama.cpp".into(), report.llama.clone()),
        ("evenkeel".into(), report.evenkeel.clone()),
        ("Profile".into(), report.profile.clone()),
        ("Form".into(), report.form.clone()),
        ("How often each label is right".into(), pairs(&report.right)),
        (
            "Least mass of the labels".into(),
            format!("{}: {} examples left alone", report.min_label_mass, report.left_alone),
        ),
    ];
    facts.extend(
        report.labels.iter().zip(&report.tokens).map(|(label, t)| (format!("Tokens of {label}"), format!("{t:?}"))),
    );
    facts.extend(report.fitted.iter().map(|(name, values)| (format!("Fitted: {name}"), numbers(values))));
    Section {
        title: report.title(),
        summary: format!(
            "Fitted on {} examples. Intervals are 95%, from a bootstrap over groups; changes are paired.",
            report.fitted_on
        ),
        facts,
        charts: report.figures.iter().map(chart).collect(),
        plots: vec![report.reliability.plot()],
        examples: Vec::new(),
        notes: report.notes.clone(),
        texts: Vec::new(),
    }
}

fn numbers(values: &[f64]) -> String {
    values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Page {
        let interval = |value: f64| Interval { value, low: value - 0.1, high: value + 0.1 };
        let rows = vec![row("plain", interval(0.9), "present", false), row("<b>", interval(0.0), "absent", true)];
        let chart = Chart { title: "A | figure".into(), note: "n".into(), rows, margin: Some(0.05) };
        let section = Section {
            title: "T & T".into(),
            summary: "s".into(),
            facts: vec![("k".into(), "v".into())],
            charts: vec![chart],
            plots: vec![Plot {
                title: "P".into(),
                note: "n".into(),
                x: Axis { name: "<x>".into(), ends: None },
                y: Axis { name: "y".into(), ends: None },
                series: vec![Series {
                    name: "s".into(),
                    points: vec![Point { at: [0.5, 2.0], y: None, label: "here".into() }],
                    strong: true,
                    joined: false,
                }],
                diagonal: false,
            }],
            examples: vec![("go <on>".into(), vec![("plain".into(), "and | on".into())])],
            notes: vec!["careful".into()],
            texts: vec![("p".into(), "schema = 1".into())],
        };
        Page { title: title(std::slice::from_ref(&section)), sections: vec![section] }
    }

    #[test]
    fn a_page_needs_nothing_else_and_escapes_what_others_wrote() {
        let html = sample().html().expect("a page");
        for part in [
            "<svg viewBox",
            "&lt;x&gt;",
            "go &lt;on&gt;",
            "<!doctype html>",
            "T &amp; T",
            "&lt;b&gt;",
            "prefers-color-scheme: dark",
            "@media print",
            "lang=\"en\"",
        ] {
            assert!(html.contains(part), "no {part}");
        }
        for part in ["<script", "http://", "https://", "src=", "url(", "@import"] {
            assert!(!html.contains(part), "{part}");
        }
    }

    #[test]
    fn markdown_has_every_number() {
        let text = sample().markdown();
        assert!(text.contains("| plain | 0.900 [0.800, 1.000] | present |") && text.contains("A \\| figure"), "{text}");
        assert!(text.contains("| s | here | 0.5 | 2 |") && text.contains("| plain | and \\| on |"), "{text}");
    }

    #[test]
    fn other_json_is_told_apart() {
        assert!(section("{}").is_err_and(|e| e.contains("learn, audit or calibrate")));
        assert!(section("{\"suites\": 3}").is_err_and(|e| e.contains("audit")));
        assert!(section("x").is_err_and(|e| e.contains("no JSON")));
    }
}
