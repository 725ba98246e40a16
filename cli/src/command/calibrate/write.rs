//! The files that a calibration is: fitted values, and a profile that names them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::fit::Fit;
use crate::{args, command::tensors_file, failure::Failure};

/// Writes `NAME.safetensors`, unless a number says everything, and the profile `NAME.toml`, whose path it gives.
pub fn write(args: &args::Calibrate, name: &str, fit: &Fit, model: &str) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let values = args.out.join(format!("{name}.safetensors"));
    if let Fit::Tensors(tensors) = fit {
        let narrow = |(name, values): &(&str, Vec<f64>)| {
            ((*name).to_owned(), vec![values.len()], values.iter().map(|v| *v as f32).collect())
        };
        let said = [
            ("evenkeel.labels".to_owned(), json!(args.labels).to_string()),
            ("evenkeel.method".to_owned(), args.method.name().to_owned()),
            ("evenkeel.model".to_owned(), model.to_owned()),
        ];
        tensors_file(&values, tensors.iter().map(narrow).collect(), &said).map_err(|e| failed(&values, e))?;
    }
    let path = args.out.join(format!("{name}.toml"));
    fs::write(&path, profile(args, name, fit)).map_err(|e| failed(&path, e))?;
    Ok(path)
}

fn profile(args: &args::Calibrate, name: &str, fit: &Fit) -> String {
    let labels: Vec<String> = args.labels.iter().map(|l| text(l)).collect();
    let mut lines = vec![
        "schema = 1".to_owned(),
        String::new(),
        "[[calibrate]]".to_owned(),
        format!("name = {}", text(name)),
        format!("labels = [{}]", labels.join(", ")),
        format!("method = {}", text(args.method.name())),
    ];
    let file = text(&format!("{name}.safetensors"));
    lines.push(match (fit, args.method) {
        (Fit::Temperature(t), _) => format!("temperature = {t}"),
        (_, args::CalibrateMethod::Contextual | args::CalibrateMethod::Batch) => format!("prior = {file}"),
        _ => format!("file = {file}"),
    });
    if args.zhao {
        lines.push("form = \"zhao\"".into());
    }
    lines.push(format!("min-label-mass = {}", args.min_label_mass));
    lines.join("\n") + "\n"
}

/// A TOML string.
fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}
