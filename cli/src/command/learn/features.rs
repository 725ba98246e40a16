//! Candidates from a sparse autoencoder.

use std::path::{Path, PathBuf};

use super::{
    choose::Kit,
    files::kept,
    rule,
    sae::{Feature, Sae},
    write,
};
use crate::{capture, failure::Failure, screen, session::Session};

/// The features that candidates are made of; none but for --method sae.
#[derive(Default)]
pub struct Features {
    pub layer: usize,
    pub best: Vec<Feature>,
    pub notes: Vec<String>,
}

/// Features that are tried.
pub const FEATURES: usize = 8;

pub fn features(
    path: &Path,
    session: &Session,
    store: &capture::Store,
    layer: usize,
    weights: &[f64],
    positive: &[bool],
) -> Result<Features, Failure> {
    if !store.layers().contains(&layer) {
        return Err(Failure::usage(format!("--sae-layer {layer}: the model has {} layers", session.model.n_layer())));
    }
    let sae = Sae::open(path, session.model.n_embd())?;
    let bar = screen::progress(sae.features as u64, "ranking features");
    let best = sae.rank(&store.layer(layer), weights, positive, FEATURES, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    Ok(Features { layer, best, notes: sae.notes })
}

impl Features {
    /// One file per feature, to be tried.
    pub fn kits(&self, folder: &Path, name: &str, said: &[(String, String)]) -> Result<Vec<Kit>, Failure> {
        let kit = |f: &Feature| {
            let file = format!("{name}-feature-{}.safetensors", f.index);
            write::feature(&folder.join(&file), self.layer, f, said).map_err(kept)?;
            Ok(Kit { file, plane: None })
        };
        self.best.iter().map(kit).collect()
    }

    /// Keeps the file of the feature that was chosen.
    pub fn keep(
        &self,
        folder: &Path,
        out: &Path,
        name: &str,
        rule: &mut rule::Rule,
        mut files: Vec<PathBuf>,
    ) -> Result<Vec<PathBuf>, Failure> {
        if !self.best.is_empty() {
            let path = out.join(format!("{name}-feature.safetensors"));
            std::fs::copy(folder.join(&rule.file), &path).map_err(kept)?;
            rule.file = format!("{name}-feature.safetensors");
            files.insert(0, path);
        }
        Ok(files)
    }
}
