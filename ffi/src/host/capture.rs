//! Reads the residual stream after every layer while a context evaluates: the plug-in's hook copies it in the graph itself, under
//! whatever profile the context runs.

use std::collections::HashMap;

use super::{Context, ContextOptions, HostError, Model, Plugin, PluginError, Row};

/// A context whose evaluations give residual streams besides logits.
pub struct Capture<'a> {
    context: Context,
    plugin: &'a Plugin,
    width: usize,
    /// Values of one layer in the order of evaluation.
    values: Vec<f32>,
    /// Per layer, and last for what the output matrix reads: the rows that were read, `[wanted, n_embd]`.
    layers: Vec<Vec<f32>>,
    seen: Vec<bool>,
}

fn refused(error: PluginError) -> HostError {
    HostError::Capture { why: error.to_string() }
}

impl<'a> Capture<'a> {
    /// Makes such a context. The plug-in is installed.
    ///
    /// # Errors
    /// [`HostError::Context`]; [`HostError::Capture`] if the plug-in was not installed when it was made.
    pub fn new(plugin: &'a Plugin, model: &Model, options: &ContextOptions) -> Result<Capture<'a>, HostError> {
        let context = Context::new(model, options)?;
        plugin.capture(&context, true).map_err(refused)?;
        let n = model.n_layer() + 1;
        let (layers, seen) = (vec![Vec::new(); n], vec![false; n]);
        Ok(Capture { context, plugin, width: model.n_embd(), values: Vec::new(), layers, seen })
    }

    /// Rows that one call of [`Capture::read`] may have.
    pub fn n_batch(&self) -> usize {
        self.context.n_batch()
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        self.context.clear();
    }

    /// Evaluates rows, and gives for each layer the residual stream of those with `output` set, in their order, as
    /// `[rows, n_embd]`, and last what the output matrix reads; None for a layer that the graph does not name.
    ///
    /// # Errors
    /// As [`Context::decode`]; [`HostError::Capture`] if the graph has no room or names no such tensors, or the rows could
    /// not be told.
    pub fn read(&mut self, rows: &[Row]) -> Result<Vec<Option<&[f32]>>, HostError> {
        self.context.decode_rows(rows)?;
        let found = self.plugin.captured_rows(&self.context).map_err(refused)?;
        let wanted = rows.iter().filter(|r| r.output).map(|r| (r.seq, r.pos));
        let places: HashMap<(i32, i32), usize> = wanted.enumerate().map(|(i, row)| (row, i)).collect();
        // Where each row that was read goes: hosts regroup rows.
        let places: Vec<usize> = found.iter().filter_map(|row| places.get(row).copied()).collect();
        let n = rows.iter().filter(|r| r.output).count();
        if places.len() != n || found.len() != n {
            return Err(HostError::Capture { why: format!("{} rows were captured, not {n}", found.len()) });
        }
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let at = if i == last { None } else { Some(i) };
            self.plugin.captured(&self.context, at, &mut self.values).map_err(refused)?;
            self.seen[i] = self.values.len() == n * self.width && n > 0;
            layer.resize(n * self.width, 0.0);
            for (row, place) in self.values.chunks_exact(self.width).zip(&places).filter(|_| self.seen[i]) {
                layer[place * self.width..(place + 1) * self.width].copy_from_slice(row);
            }
        }
        if n > 0 && !self.seen[..last].contains(&true) {
            let why = "the graph of this model names no tensor of the residual stream (l_out-N)".to_owned();
            return Err(HostError::Capture { why });
        }
        Ok(self.layers.iter().zip(&self.seen).map(|(l, seen)| seen.then_some(&l[..])).collect())
    }
}
