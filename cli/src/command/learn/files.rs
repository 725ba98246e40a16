//! What is written, and what it says about itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Method, Operator,
    choose::Goal,
    fit::LayerFit,
    report::{Cost, Report},
    rule::{self, When},
    show, write,
};
use crate::{
    args,
    capture::Metadata,
    examples::{Examples, Part, Split},
    failure::{Failure, Outcome as Ended, Verdict},
    screen,
    session::Session,
};

/// What saved activations say: a digit per row besides, so that everything can be computed again.
pub fn rows_said(said: &[(String, String)], parts: &Split, positive: &[bool]) -> Metadata {
    let part = |p: &Part| match p {
        Part::Fit => '0',
        Part::Choose => '1',
        Part::Report => '2',
    };
    let class = |p: &bool| if *p { '1' } else { '0' };
    let mut said = said.to_vec();
    said.push(("evenkeel.rows.part".into(), parts.part.iter().map(part).collect()));
    said.push(("evenkeel.rows.class".into(), positive.iter().map(class).collect()));
    Metadata(said)
}

pub fn finish(
    args: &args::Learn,
    mut report: Report,
    name: &str,
    rule: &rule::Rule,
    mut files: Vec<PathBuf>,
    json: bool,
) -> Ended {
    let failed = |path: &Path, e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let e = &report.effect;
    let k = &report.controls;
    let head = [
        format!("Learned by `evenkeel learn` ({}, {}) on {}.", report.method, report.position, report.model),
        format!("Data sha256 {}", report.data_sha256),
        format!("Measured: {}", report.outcome),
        format!(
            "Gap between the classes: {} plain, {} with this rule, on texts not used otherwise.",
            e.gap_before, e.gap_after
        ),
        format!("Divergence elsewhere {} nats per token. Rank among random directions: {} of {}.", e.kl, k.rank, k.of),
        if k.beaten() || k.of == 1 { String::new() } else { "Nothing here beats the control.".into() },
    ];
    let profile = args.out.join(format!("{name}.toml"));
    let head: Vec<String> = head.into_iter().filter(|l| !l.is_empty()).collect();
    std::fs::write(&profile, rule.profile(&head)).map_err(|e| failed(&profile, e))?;
    files.insert(0, profile);
    files.extend(args.save_activations.clone());
    files.extend(super::super::report::names(&args.out, name));
    report.files = files.iter().map(|f| f.display().to_string()).collect();
    let text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    super::super::report::write(&args.out, name, &text)?;
    if json {
        screen::json(&report);
    } else {
        show::show(&report, rule.operator.removes());
    }
    Ok(if report.controls.beaten() || report.controls.of == 1 { Verdict::Good } else { Verdict::Bad })
}

pub fn said(
    args: &args::Learn,
    session: &Session,
    examples: &Examples,
    method: Method,
    operator: Operator,
) -> Result<Vec<(String, String)>, Failure> {
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    };
    use clap::ValueEnum as _;
    let all = [
        ("evenkeel.operator", operator.key().to_owned()),
        ("evenkeel.site", "residual".into()),
        ("evenkeel.method", name(&|| method.to_possible_value())),
        ("evenkeel.position", name(&|| args.at.to_possible_value())),
        ("evenkeel.positive", examples.names[0].clone()),
        ("evenkeel.negative", examples.names[1].clone()),
        ("evenkeel.model", session.model.description()),
        ("evenkeel.model.sha256", crate::hash::file_sha256(&args.model)?),
        ("evenkeel.data.sha256", examples.sha256.clone()),
        ("evenkeel.version", env!("CARGO_PKG_VERSION").into()),
    ];
    Ok(all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

pub fn value(said: &[(String, String)], key: &str) -> String {
    said.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default()
}

pub fn write_files(
    out: &Path,
    name: &str,
    arch: &str,
    fits: &[LayerFit],
    goal: &Goal,
    said: &[(String, String)],
) -> std::io::Result<Vec<PathBuf>> {
    let directions = |of: fn(&LayerFit) -> &Vec<f64>| -> BTreeMap<usize, Vec<f32>> {
        fits.iter().filter(|f| f.layer > 0).map(|f| (f.layer, write::single(of(f)))).collect()
    };
    let mut said = said.to_vec();
    let layers: Vec<String> = fits.iter().filter(|f| f.layer > 0).map(|f| f.layer.to_string()).collect();
    said.push(("evenkeel.layers".into(), layers.join(",")));
    // What a condition or a plane is made of is not meant for the rule's operator.
    let other: Vec<_> = said.iter().filter(|(k, _)| k != "evenkeel.operator").cloned().collect();
    let mut files = Vec::new();
    let mut path = |suffix: &str| {
        files.push(out.join(format!("{name}{suffix}")));
        files[files.len() - 1].clone()
    };
    match goal.operator {
        Operator::Sae => {}
        Operator::Affine => write::eraser(&path("-eraser.safetensors"), fits, &said)?,
        _ => write::vector(&path(".gguf"), arch, &directions(|f| &f.direction), &said)?,
    }
    if goal.operator == Operator::Rotate {
        write::vector(&path("-plane.gguf"), arch, &directions(|f| &f.plane), &other)?;
    }
    if goal.when == Some(When::Similar) {
        write::vector(&path("-condition.gguf"), arch, &directions(|f| &f.direction), &other)?;
    }
    write::probe(&path("-probe.safetensors"), fits, &other)?;
    Ok(files)
}

/// Time and memory of this process so far.
pub fn cost(begin: Instant) -> Cost {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Cost {
        seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9,
        peak_memory_mib: peak.map(|kib| kib as f64 / 1024.0),
    }
}

pub fn kept(error: std::io::Error) -> Failure {
    Failure::new(format!("what was learned cannot be kept: {error}"))
}
