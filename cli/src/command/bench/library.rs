//! The plug-in, loaded at the first need, and the contexts that it steers.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use evenkeel_ffi::host::{Context, ContextOptions, Embedded, Plugin};
use evenkeel_model::ControlVector;

use crate::{failure::Failure, session::Session};

/// The plug-in beside a model.
pub struct Library<'a> {
    pub session: &'a Session,
    embedded: bool,
    loaded: OnceCell<(Plugin, Option<Embedded>)>,
}

impl<'a> Library<'a> {
    /// Not loaded yet; `embedded`: to be used as a program does that contains llama.cpp.
    pub fn new(session: &'a Session, embedded: bool) -> Self {
        Library { session, embedded, loaded: OnceCell::new() }
    }

    fn load(&self) -> Result<&(Plugin, Option<Embedded>), Failure> {
        if self.loaded.get().is_none() {
            let loaded = if self.embedded {
                let (plugin, embedded) = self.session.embedded()?;
                (plugin, Some(embedded))
            } else {
                (self.session.plugin()?, None)
            };
            // It was empty a moment ago, and nobody else has it.
            let _ = self.loaded.set(loaded);
        }
        self.loaded.get().ok_or_else(|| Failure::new("the plug-in is not loaded"))
    }

    /// The plug-in.
    pub fn plugin(&self) -> Result<&Plugin, Failure> {
        Ok(&self.load()?.0)
    }

    /// A context under a profile, or a folder of them; `None`: without one, though the plug-in is there.
    pub fn context(&self, profile: Option<&Path>, options: &ContextOptions) -> Result<Context, Failure> {
        let (plugin, embedded) = self.load()?;
        plugin.load_profile(profile)?;
        let mut context = Context::new(&self.session.model, options)?;
        if let Some(embedded) = embedded.filter(|_| profile.is_some()) {
            context.attach(plugin, embedded)?;
        }
        Ok(context)
    }

    /// A context that is plain: where the plug-in is not loaded, it stays so.
    pub fn plain(&self, options: &ContextOptions) -> Result<Context, Failure> {
        match self.loaded.get() {
            Some(_) => self.context(None, options),
            None => Ok(Context::new(&self.session.model, options)?),
        }
    }

    /// A random direction for every layer but the first; small against the residual stream, so that the numbers of a random
    /// model stay in range.
    pub fn vector(&self, seed: u64) -> ControlVector {
        let model = &self.session.model;
        let hint = model.metadata("general.architecture").unwrap_or_default();
        ControlVector::random(&hint, model.n_embd() as u32, 1..model.n_layer() as u32, seed).scaled(0.01)
    }
}

/// A folder for profiles, which is gone with it.
pub fn folder() -> Result<tempfile::TempDir, Failure> {
    let failed = |e| Failure::new(format!("profiles cannot be written to {}: {e}", std::env::temp_dir().display()));
    tempfile::Builder::new().prefix("evenkeel-bench-").tempdir().map_err(failed)
}

/// Writes a file of a profile.
pub fn write(path: PathBuf, bytes: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
    match std::fs::write(&path, bytes) {
        Ok(()) => Ok(path),
        Err(e) => Err(Failure::new(format!("{} cannot be written: {e}", path.display()))),
    }
}

/// Writes a control vector.
pub fn write_vector(path: PathBuf, vector: &ControlVector) -> Result<PathBuf, Failure> {
    match vector.write(&path) {
        Ok(()) => Ok(path),
        Err(e) => Err(Failure::new(format!("{} cannot be written: {e}", path.display()))),
    }
}

/// A probe of every layer, along the vector: on random rows it says yes to about a half.
pub fn probe(vector: &ControlVector) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut put = |name: String, values: &[f32]| {
        let begin = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let (shape, offsets) = ([values.len()], [begin, data.len()]);
        header.insert(name, serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets }));
    };
    for (layer, direction) in &vector.directions {
        put(format!("probe.{layer}"), direction);
        put(format!("bias.{layer}"), &[0.0]);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
