//! Where a graph computes attention, layer by layer, and whether that can be made independent of the order of segments.
//!
//! Found by what is read and written, not by names: the rows that go into a layer's cache of keys, the scores that read that
//! cache, the softmax over them, and what reads it.

use std::collections::BTreeMap;

use super::graph::{GraphView, Op, TensorId};

/// One layer's attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionSite {
    /// Block, from 0.
    pub layer: u32,
    /// Queries after their rotation and what they are multiplied by then, F32 `[n_embd_head, n_head, n_rows]`.
    pub query: TensorId,
    /// Their rotation; `None` in a layer without positions, where queries and keys stay as they are.
    pub turned_query: Option<TensorId>,
    /// The same before it.
    pub bare_query: TensorId,
    /// What rotated queries are multiplied by before they are read: scales, the last first.
    pub query_scales: Vec<TensorId>,
    /// Queries as attention reads them, `[n_embd_head, n_rows, n_head]`.
    pub read_query: TensorId,
    /// The orthogonal matrix by which queries and keys are mixed before they meet in a quantised cache.
    pub mixed_by: Option<TensorId>,
    /// Keys of the micro-batch's rows after their rotation, F32 `[n_embd_head, n_head_kv, n_rows]`.
    pub key: TensorId,
    /// The same before it.
    pub bare_key: TensorId,
    /// Values of the micro-batch's rows as they go into the cache, F32, `n_embd_head · n_head_kv` for each row.
    pub value: TensorId,
    /// For each row the number of its cell, I64 `[n_rows]`.
    pub cells: TensorId,
    /// The cached keys as attention reads them, `[n_embd_head, n_kv, n_head_kv]`.
    pub cached_keys: TensorId,
    /// The cached values as attention reads them.
    pub cached_values: TensorId,
    /// The layer's cache of keys, where memory for the layer should lie.
    pub cache: TensorId,
    /// The mask, `[n_kv, n_rows or more]`.
    pub mask: TensorId,
    /// How it is computed.
    pub form: Form,
    /// What holds the result.
    pub out: TensorId,
}

/// How a layer computes its attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `MUL_MAT(values, SOFT_MAX(scores))`.
    Scores {
        /// `MUL_MAT(keys, queries)`.
        products: TensorId,
        /// What is applied to them element by element (a soft cap), in order.
        caps: Vec<TensorId>,
        /// The softmax.
        soft_max: TensorId,
    },
    /// `FLASH_ATTN_EXT`, which is [`AttentionSite::out`].
    Flash,
}

/// A layer whose attention has another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer {layer}: {why}")]
pub struct AttentionError {
    /// The layer.
    pub layer: u32,
    /// What was found.
    pub why: &'static str,
}

/// Every layer's attention, in order; empty for a graph that has none of its own (K-shift, image encoders).
///
/// # Errors
/// The first layer whose attention is not as the modes need it.
pub fn attention(graph: &GraphView) -> Result<Vec<AttentionSite>, AttentionError> {
    let stored = |stem: &str| -> BTreeMap<u32, (TensorId, TensorId)> {
        let row = |(id, t): (TensorId, &super::TensorView)| {
            let cache = (t.op == Op::SetRows).then(|| graph.base(t.src[2]?)).flatten()?;
            let layer = graph.tensor(cache).name.as_str().strip_prefix(stem)?.parse().ok()?;
            Some((layer, (id, cache)))
        };
        graph.nodes().filter_map(row).collect()
    };
    let (keys, values) = (stored("cache_k_l"), stored("cache_v_l"));
    if keys.is_empty() || graph.leaf("inp_tokens").or(graph.leaf("inp_embd")).is_none() {
        return Ok(vec![]);
    }
    let mut sites = Vec::new();
    for (&layer, &(stores, cache)) in &keys {
        let fail = |why| AttentionError { layer, why };
        let value = values.get(&layer).ok_or(fail("its values are not cached as keys are"))?;
        let site =
            Search { graph, layer, cache, stores, value: value.0, cached_values: value.1 }.site().map_err(fail)?;
        sites.push(site);
    }
    if !sites.iter().any(|site| site.turned_query.is_some()) {
        let why = "no layer has rotary positions";
        return Err(AttentionError { layer: sites[0].layer, why });
    }
    let positions = graph.leaf("inp_pos");
    let reads =
        |t: &super::TensorView| t.src.iter().flatten().any(|id| graph.base(*id).is_some_and(|b| Some(b) == positions));
    if graph.nodes().any(|(_, t)| !matches!(t.op, Op::Rope | Op::View) && reads(t)) {
        return Err(AttentionError { layer: sites[0].layer, why: "its positions are used by more than rotations" });
    }
    let mask = sites[0].mask;
    if let Some(other) = sites.iter().find(|site| site.mask != mask) {
        return Err(AttentionError {
            layer: other.layer,
            why: "it sees other cells than the first layer: a sliding window",
        });
    }
    Ok(sites)
}

struct Search<'a> {
    graph: &'a GraphView,
    layer: u32,
    cache: TensorId,
    stores: TensorId,
    value: TensorId,
    cached_values: TensorId,
}

impl Search<'_> {
    fn src(&self, id: TensorId, n: usize) -> Option<TensorId> {
        self.graph.tensor(id).src[n]
    }

    fn op(&self, id: TensorId) -> Op {
        self.graph.tensor(id).op
    }

    /// What this is a view or a copy of.
    fn source(&self, mut id: TensorId) -> Result<TensorId, &'static str> {
        while matches!(self.op(id), Op::View | Op::Cont | Op::Copy) {
            id = self.src(id, 0).ok_or("a view of nothing")?;
        }
        Ok(id)
    }

    /// What this is a view of, or a view on the way there, that has queries or keys as `[n_embd_head, n_head, n_rows]`.
    fn heads(&self, from: TensorId, width: i64) -> Result<TensorId, &'static str> {
        let n_rows = self.graph.leaf("inp_pos").map(|positions| self.graph.tensor(positions).ne[0]);
        let is = |id| {
            let ne = self.graph.tensor(id).ne;
            ne[0] == width && Some(ne[2]) == n_rows && ne[3] == 1
        };
        let (mut at, mut found) = (from, None);
        let end = self.source(from)?;
        loop {
            found = is(at).then_some(at).or(found);
            if at == end {
                return Ok(found.filter(|_| self.op(end) != Op::Rope).unwrap_or(end));
            }
            at = self.src(at, 0).ok_or("a view of nothing")?;
        }
    }

    /// What this is of, but for the matrix by which llama.cpp mixes queries and keys alike before they meet in a quantised
    /// cache: no score depends on it.
    fn unmixed(&self, id: TensorId) -> Result<(TensorId, Option<TensorId>), &'static str> {
        let at = self.source(id)?;
        let matrix = self.src(at, 0).filter(|_| self.op(at) == Op::MulMat);
        let base = matrix.and_then(|matrix| self.graph.base_of_copy(matrix));
        if base.is_none() || base != self.graph.leaf("attn_inp_k_rot") {
            return Ok((id, None));
        }
        Ok((self.src(at, 1).ok_or("a product of nothing")?, matrix))
    }

    /// The rotation whose result this is, if there is one, and what goes into it.
    fn rotation(&self, at: TensorId) -> Result<(Option<TensorId>, TensorId), &'static str> {
        if self.op(at) != Op::Rope {
            self.projected(at)?;
            return Ok((None, at));
        }
        let positions = self.src(at, 1).and_then(|p| self.graph.base(p));
        if positions.is_none() || positions != self.graph.leaf("inp_pos") {
            return Err("the rotation does not read the positions of the micro-batch");
        }
        Ok((Some(at), self.src(at, 0).ok_or("a rotation of nothing")?))
    }

    /// Whether it is a projection, and what weights alone make of one: nothing in it knows of positions.
    fn projected(&self, at: TensorId) -> Result<(), &'static str> {
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            match self.op(at) {
                Op::MulMat => {}
                Op::Rope => return Err("queries or keys are changed after their rotation"),
                Op::None => {
                    let name = self.graph.tensor(at).name;
                    if ![".weight", ".bias"].iter().any(|end| name.as_str().ends_with(end)) {
                        return Err("queries or keys without rotary positions are changed by an input");
                    }
                }
                _ => open.extend(self.graph.tensor(at).src.iter().flatten()),
            }
        }
        Ok(())
    }

    fn site(&self) -> Result<AttentionSite, &'static str> {
        let graph = self.graph;
        let of_cache = |id: Option<TensorId>| id.and_then(|id| graph.base_of_copy(id)) == Some(self.cache);
        let reads = |(id, t): (TensorId, &super::TensorView)| match t.op {
            Op::MulMat if of_cache(t.src[0]) => Some((id, false)),
            Op::FlashAttn if of_cache(t.src[1]) => Some((id, true)),
            _ => None,
        };
        let mut readers = graph.nodes().filter_map(reads);
        let (reader, flash) = readers.next().ok_or("nothing known reads its cache of keys")?;
        if readers.next().is_some() {
            return Err("its cache of keys is read more than once");
        }
        let stored = |id| self.src(id, 0).ok_or("a store of nothing");
        let width = self.src(reader, usize::from(flash)).map_or(0, |cached| graph.tensor(cached).ne[0]);
        let (key, mixed_by) = self.unmixed(stored(self.stores)?)?;
        let key = self.heads(key, width)?;
        let (turned_key, bare_key) = self.rotation(key)?;
        let cells = self.src(self.stores, 1).ok_or("a store to nowhere")?;
        let value = stored(self.value)?;
        let site = |read_query, cached_keys, cached_values, mask, form, out| -> Result<AttentionSite, &'static str> {
            let (query, query_mixed_by) = self.unmixed(read_query)?;
            if query_mixed_by.is_some() != mixed_by.is_some() {
                return Err("queries and keys are mixed by different matrices");
            }
            let query = self.heads(query, width)?;
            let (mut at, mut query_scales) = (query, vec![]);
            while self.op(self.source(at)?) == Op::Scale {
                let scale = self.source(at)?;
                query_scales.push(scale);
                at = self.heads(self.src(scale, 0).ok_or("a scale of nothing")?, width)?;
            }
            let (turned_query, bare_query) = self.rotation(at)?;
            if turned_query.is_some() != turned_key.is_some() {
                return Err("of queries and keys, only one has rotary positions");
            }
            let site = AttentionSite {
                layer: self.layer,
                query,
                turned_query,
                bare_query,
                query_scales,
                read_query,
                mixed_by,
                key,
                bare_key,
                value,
                cells,
                cached_keys,
                cached_values,
                cache: self.cache,
                mask,
                form,
                out,
            };
            self.fits(&site).map(|()| site)
        };
        let missing = "an operand is missing";
        if flash {
            let [q, k, v, mask] = [0, 1, 2, 3].map(|n| self.src(reader, n));
            let (Some(q), Some(k), Some(v), Some(mask)) = (q, k, v, mask) else { return Err(missing) };
            return site(q, k, v, mask, Form::Flash, reader);
        }
        let (soft_max, caps) = self.soft_max(reader)?;
        let mut readers = graph.nodes().filter(|(_, t)| t.op == Op::MulMat && t.src[1] == Some(soft_max));
        let (out, _) = readers.next().ok_or("nothing multiplies its softmax with values")?;
        let (Some(k), Some(q), Some(v), Some(mask)) =
            (self.src(reader, 0), self.src(reader, 1), self.src(out, 0), self.src(soft_max, 1))
        else {
            return Err(missing);
        };
        site(q, k, v, mask, Form::Scores { products: reader, caps, soft_max }, out)
    }

    /// The softmax over these products, and what stands between, in order.
    fn soft_max(&self, products: TensorId) -> Result<(TensorId, Vec<TensorId>), &'static str> {
        for (id, t) in self.graph.nodes().filter(|(_, t)| t.op == Op::SoftMax) {
            let (mut at, mut caps) = (t.src[0], vec![]);
            while let Some(cap) = at.filter(|id| matches!(self.op(*id), Op::Scale | Op::Unary)) {
                caps.push(cap);
                at = self.src(cap, 0);
            }
            if at == Some(products) {
                caps.reverse();
                return Ok((id, caps));
            }
        }
        Err("its scores go through something else than a scale, a cap and a softmax")
    }

    /// Shapes.
    fn fits(&self, site: &AttentionSite) -> Result<(), &'static str> {
        let ne = |id| self.graph.tensor(id).ne;
        let (q, k, cached) = (ne(site.query), ne(site.key), ne(site.cached_keys));
        if cached[3] != 1 || q[3] != 1 {
            return Err("each sequence has a cache of its own (kv_unified is off)");
        }
        if q[0] != k[0]
            || q[2] != k[2]
            || k[1] == 0
            || q[1] % k[1] != 0
            || ne(site.bare_query) != q
            || ne(site.bare_key) != k
        {
            return Err("queries and keys do not belong together");
        }
        if cached[0] != k[0] || cached[2] != k[1] {
            return Err("the cached keys are not those of the micro-batch");
        }
        if self.graph.leaf("inp_pos").is_none_or(|positions| ne(positions)[0] != q[2]) {
            return Err("its positions have several dimensions");
        }
        let values: i64 = ne(site.value).iter().product();
        if values % (k[1] * k[2]) != 0 {
            return Err("values and keys have different heads");
        }
        if ![site.query, site.bare_query, site.key, site.bare_key, site.value]
            .iter()
            .all(|id| self.graph.tensor(*id).f32)
        {
            return Err("queries, keys or values are not F32");
        }
        if self.graph.base_of_copy(site.cached_values) != Some(self.cached_values) {
            return Err("the values that it reads are not the layer's");
        }
        let mask = self.graph.tensor(site.mask);
        if self.graph.base_of_copy(site.mask).is_none() || mask.ne[2] != 1 || mask.ne[1] < q[2] {
            return Err("its mask is not one for all heads");
        }
        Ok(())
    }
}
