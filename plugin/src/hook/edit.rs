//! The edits themselves: how a substitution becomes nodes of the host's graph.

use std::{ffi::CString, sync::Arc};

use evenkeel_core::{
    lower::{Leaf, NewNode, Patch, Ref, Residual, Slots, Substitution, TensorId},
    plan::{GateIndex, HELD_SLOTS, RuleIndex},
};
use evenkeel_ffi::generated::types::*;

use super::{library::Host, observe::Observer, slots::Tables, view::Viewed};

/// One patch being applied to one graph.
///
/// Every unsafe method relies on the same facts: the view is current, the patch was lowered from it, no other thread uses
/// the graph, and `ctx` has room for every tensor that the patch adds.
pub struct Editor<'a> {
    host: &'a Host,
    graph: *mut ggml_cgraph,
    ctx: *mut ggml_context,
    viewed: &'a Viewed,
    leafs: Vec<*mut ggml_tensor>,
    observers: &'a [(RuleIndex, Arc<Observer>)],
    slots: Vec<Tables>,
    /// Rows of the gate table and what probes said, as the substitutions read them.
    shared: Vec<(Ref, *mut ggml_tensor)>,
    /// New nodes, each with the index of the node that it stands before.
    before: Vec<(u32, *mut ggml_tensor)>,
    /// New nodes that read an existing tensor which is no substituted node: its use count must rise, or a backend may fuse
    /// it away.
    readers: Vec<*mut ggml_tensor>,
    /// Every node that was made for a substitution, by its place in the patch.
    made: Vec<(usize, *mut ggml_tensor)>,
    /// Targets, each with the node that it becomes.
    successors: Vec<(*mut ggml_tensor, *mut ggml_tensor)>,
}

impl<'a> Editor<'a> {
    /// Begins. `leafs` are the tensors of the patch's leafs, null where one is to be made with the graph; `observers` those of
    /// rules whose prior is learned.
    ///
    /// # Safety
    /// The facts above.
    pub unsafe fn new(
        host: &'a Host,
        graph: *mut ggml_cgraph,
        ctx: *mut ggml_context,
        viewed: &'a Viewed,
        leafs: Vec<*mut ggml_tensor>,
        observers: &'a [(RuleIndex, Arc<Observer>)],
    ) -> Self {
        Editor {
            host,
            graph,
            ctx,
            viewed,
            leafs,
            observers,
            slots: Vec::new(),
            shared: Vec::new(),
            before: Vec::new(),
            readers: Vec::new(),
            made: Vec::new(),
            successors: Vec::new(),
        }
    }

    unsafe fn name(&self, t: *mut ggml_tensor, name: &str) {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: `t` is a tensor made here; set_name copies and cuts.
        unsafe { (self.host.lib.ggml.ggml_set_name)(t, name.as_ptr()) };
    }

    /// Makes the graph's leafs known to it: a leaf that it does not list is given its reader's device, without a copy.
    pub unsafe fn add_leafs(&mut self, patch: &Patch) {
        for (slot, leaf) in self.leafs.iter_mut().zip(&patch.leafs) {
            let (name, values, rows) = match leaf {
                Leaf::Constant { name, data, rows, .. } => (name, data.len() as i64, *rows),
                Leaf::Held { name, .. } => (name, i64::from(HELD_SLOTS), HELD_SLOTS),
                Leaf::PerRow { .. } | Leaf::Cells { .. } => {
                    // SAFETY: see [`Editor`].
                    unsafe { (self.host.lib.graph.ggml_build_forward_expand)(self.graph, *slot) };
                    continue;
                }
                // Nor is another graph's node, which comes with that graph.
                _ => continue,
            };
            // SAFETY: see [`Editor`].
            unsafe {
                if slot.is_null() {
                    let (g, n) = (&self.host.lib.ggml, i64::from(rows));
                    *slot = match n {
                        1 => (g.ggml_new_tensor_1d)(self.ctx, GGML_TYPE_F32, values),
                        n => (g.ggml_new_tensor_2d)(self.ctx, GGML_TYPE_F32, values / n, n),
                    };
                    let name = CString::new(name.as_str()).unwrap_or_default();
                    (self.host.lib.ggml.ggml_set_name)(*slot, name.as_ptr());
                }
                (self.host.lib.graph.ggml_build_forward_expand)(self.graph, *slot);
            }
        }
    }

    /// Adds a leaf behind the patch's own: the gate table.
    pub unsafe fn add_leaf(&mut self, leaf: *mut ggml_tensor) {
        // SAFETY: see [`Editor`].
        unsafe { (self.host.lib.graph.ggml_build_forward_expand)(self.graph, leaf) };
        self.leafs.push(leaf);
    }

    /// Adds a gate table that is a node: it stands before the node that reads it first.
    pub unsafe fn add_table(&mut self, table: *mut ggml_tensor, first: TensorId) {
        // SAFETY: see [`Editor`].
        unsafe { self.insert(first.0, table, GGML_TENSOR_FLAG_COMPUTE as i32) };
        self.leafs.push(table);
    }

    /// Adds tables of slots: leafs, or nodes that stand before the node that reads them first.
    pub unsafe fn add_slots(&mut self, tables: Tables, first: Option<TensorId>) {
        for t in [tables.write, tables.others] {
            // SAFETY: see [`Editor`].
            unsafe {
                match first {
                    Some(first) => self.insert(first.0, t, GGML_TENSOR_FLAG_COMPUTE as i32),
                    None => (self.host.lib.graph.ggml_build_forward_expand)(self.graph, t),
                }
            }
        }
        self.slots.push(tables);
    }

    /// The numbers of one kind in a table of slots.
    unsafe fn numbers(&mut self, slots: Slots, output_only: bool) -> *mut ggml_tensor {
        let known = self.slots.iter().find(|tables| tables.table.output_only == output_only);
        let tables = known.expect("a patch that reads slots has their table");
        let (from, column) = match slots {
            Slots::Write => (tables.write, 0),
            Slots::Read => (tables.others, 0),
            Slots::Before => (tables.others, 1),
            Slots::Follows => (tables.others, 2),
            Slots::Back(step) => (tables.others, 3 + usize::from(step)),
        };
        // SAFETY: see [`Editor`]; the table has that column.
        unsafe {
            let stride = (*from).nb[1];
            (self.host.lib.ggml.ggml_view_2d)(
                self.ctx,
                from,
                i64::from(tables.table.n_rows),
                1,
                stride,
                column * stride,
            )
        }
    }

    /// A tensor `[1, n_rows]` that several substitutions read; made at its first use.
    unsafe fn shared(&mut self, r: Ref, at: u32) -> *mut ggml_tensor {
        if let Some((_, t)) = self.shared.iter().find(|(known, _)| *known == r) {
            return *t;
        }
        // SAFETY: see [`Editor`]; the gate table is the last of `leafs` and has a row of that number.
        unsafe {
            let g = &self.host.lib.ggml;
            let (t, name) = match r {
                Ref::Gate(gate) => {
                    let table = self.leafs[self.leafs.len() - 1];
                    let ([_, n_tokens, ..], [_, row, plane, _]) = ((*table).ne, (*table).nb);
                    let view = (g.ggml_view_2d)(self.ctx, table, 1, n_tokens, row, usize::from(gate.0) * plane);
                    (view, format!("ek.gate-{}", gate.0))
                }
                Ref::Gates(first, n) => (self.gates(first, n, at), format!("ek.gates-{}", first.0)),
                Ref::OutputGates(first, n) => {
                    (self.gather(Ref::Gates(first, n), at), format!("ek.gates-{}.out", first.0))
                }
                Ref::OutputGate(gate) => (self.gather(Ref::Gate(gate), at), format!("ek.gate-{}.out", gate.0)),
                Ref::OutputTap(probe) => (self.gather(Ref::Tap(probe), at), format!("ek.probe-{}.out", probe.0)),
                Ref::Slots(slots) => (self.numbers(slots, false), "ek.slots.all".to_owned()),
                Ref::OutputSlots(slots) => (self.numbers(slots, true), "ek.slots.out".to_owned()),
                r => unreachable!("{r:?} is not shared, or is read before its probe"),
            };
            self.name(t, &name);
            self.insert(at, t, GGML_TENSOR_FLAG_COMPUTE as i32);
            self.shared.push((r, t));
            t
        }
    }

    /// Gates of the table, one after the other in each row: `[n, n_tokens]`.
    unsafe fn gates(&mut self, first: GateIndex, n: u16, at: u32) -> *mut ggml_tensor {
        // SAFETY: see [`Editor`]; the gate table is the last of `leafs` and has rows of these numbers.
        unsafe {
            let g = &self.host.lib.ggml;
            let table = self.leafs[self.leafs.len() - 1];
            let ([_, n_tokens, ..], [_, row, plane, _]) = ((*table).ne, (*table).nb);
            let n = i64::from(n);
            let begin = usize::from(first.0) * plane;
            let turned = (g.ggml_view_3d)(self.ctx, table, 1, n, n_tokens, plane, row, begin);
            let whole = (g.ggml_cont)(self.ctx, turned);
            for (t, part) in [(turned, "turned"), (whole, "whole")] {
                self.name(t, &format!("ek.gates-{}.{part}", first.0));
                self.insert(at, t, GGML_TENSOR_FLAG_COMPUTE as i32);
            }
            (g.ggml_reshape_4d)(self.ctx, whole, n, n_tokens, 1, 1)
        }
    }

    /// The output rows of a shared tensor.
    unsafe fn gather(&mut self, all: Ref, at: u32) -> *mut ggml_tensor {
        // SAFETY: see [`Editor`].
        unsafe {
            let all = self.shared(all, at);
            let out_ids = self.viewed.view.leaf("out_ids").expect("output rows are those that out_ids selects");
            (self.host.lib.ggml.ggml_get_rows)(self.ctx, all, self.viewed.tensor(out_ids))
        }
    }

    /// Takes note of a node that will stand before the node at index `at`. It is computed if `flags` say so.
    unsafe fn insert(&mut self, at: u32, t: *mut ggml_tensor, flags: i32) {
        // SAFETY: see [`Editor`]. Without the flag the node would be skipped; where the flag does not exist, it is inert.
        unsafe { (*t).flags |= flags & GGML_TENSOR_FLAG_COMPUTE as i32 };
        self.before.push((at, t));
    }

    /// The nodes that were made, each with the place of its substitution in the patch.
    pub fn made(&self) -> &[(usize, *mut ggml_tensor)] {
        &self.made
    }

    /// Makes the substitution's nodes, which read a clone of its target. The graph does not change yet.
    pub unsafe fn substitute(&mut self, place: usize, s: &Substitution) {
        let at = s.target.0;
        let target = self.viewed.tensor(s.target);
        // SAFETY: see [`Editor`].
        unsafe {
            let flags = (*target).flags;
            let earlier = self.successors.iter().position(|(t, _)| *t == target);
            let clone = match earlier {
                // An earlier substitution at the same node: this one goes on from what the node became.
                Some(i) => self.successors.remove(i).1,
                None => {
                    let clone = (self.host.lib.ggml.ggml_dup_tensor)(self.ctx, target);
                    ((*clone).op, (*clone).op_params, (*clone).src) =
                        ((*target).op, (*target).op_params, (*target).src);
                    clone
                }
            };
            self.name(clone, &format!("ek.{}", s.name));
            self.insert(at, clone, flags);
            let mut made: Vec<*mut ggml_tensor> = Vec::with_capacity(s.nodes.len());
            for (i, node) in s.nodes.iter().enumerate() {
                let (host, ctx, observers) = (self.host, self.ctx, self.observers);
                let g = &host.lib.ggml;
                let mut of = |r: Ref| match r {
                    Ref::Original => clone,
                    Ref::Input => (*target).src[1],
                    Ref::Leaf(i) => self.leafs[i as usize],
                    Ref::Node(i) => made[i as usize],
                    shared => self.shared(shared, at),
                };
                let t = match *node {
                    NewNode::Add(a, b) => (g.ggml_add)(ctx, of(a), of(b)),
                    NewNode::Mul(a, b) => (g.ggml_mul)(ctx, of(a), of(b)),
                    NewNode::MulMat(a, b) => (g.ggml_mul_mat)(ctx, of(a), of(b)),
                    NewNode::Repeat(a, b) => (g.ggml_repeat)(ctx, of(a), of(b)),
                    NewNode::RepeatTo(a, [n, rows, more, most]) => (g.ggml_repeat_4d)(ctx, of(a), n, rows, more, most),
                    NewNode::Reshape(a, [n, rows, more, most]) => (g.ggml_reshape_4d)(ctx, of(a), n, rows, more, most),
                    NewNode::GetRows(a, index) => (g.ggml_get_rows)(ctx, of(a), of(index)),
                    NewNode::SetRows(a, b, index) => (g.ggml_set_rows)(ctx, of(a), of(b), of(index)),
                    NewNode::SoftMax(a) => (g.ggml_soft_max)(ctx, of(a)),
                    NewNode::SoftMaxOf(a, mask) => {
                        let attention =
                            host.lib.attention.as_ref().expect("a context with other weights has its functions");
                        (attention.ggml_soft_max_ext)(ctx, of(a), of(mask), 1.0, 0.0)
                    }
                    NewNode::Permute(a, to) => {
                        let attention =
                            host.lib.attention.as_ref().expect("a context with other weights has its functions");
                        let [a0, a1, a2, a3] = to.map(i32::from);
                        (attention.ggml_permute)(ctx, of(a), a0, a1, a2, a3)
                    }
                    NewNode::Log(a) => (g.ggml_log)(ctx, of(a)),
                    NewNode::Argmax(a) => {
                        let contrast = host.lib.contrast.as_ref().expect("a context that contrasts has its functions");
                        (contrast.ggml_argmax)(ctx, of(a))
                    }
                    NewNode::SumRows(a) => (g.ggml_sum_rows)(ctx, of(a)),
                    NewNode::Scale(a, scale, bias) => (g.ggml_scale_bias)(ctx, of(a), scale, bias),
                    NewNode::Relu(a) => (g.ggml_relu)(ctx, of(a)),
                    NewNode::Sqrt(a) => (g.ggml_sqrt)(ctx, of(a)),
                    NewNode::Step(a) => (g.ggml_step)(ctx, of(a)),
                    NewNode::Sigmoid(a) => (g.ggml_sigmoid)(ctx, of(a)),
                    NewNode::Copy(a) => (g.ggml_cont)(ctx, of(a)),
                    NewNode::Clamp(a, min, max) => (g.ggml_clamp)(ctx, of(a), min, max),
                    NewNode::Observe(a, b, rule) => {
                        let known = observers.iter().find(|(known, _)| *known == rule);
                        let (_, observer) = known.expect("a rule that is shown rows has its observer");
                        observer.node(host, ctx, [of(a), of(b)])
                    }
                    node => unreachable!("the lowering of this version makes no {node:?}"),
                };
                if let Some((probe, _)) = s.taps.iter().find(|(_, node)| *node as usize == i) {
                    self.shared.push((Ref::Tap(*probe), t));
                }
                if node.reads().any(|r| r == Ref::Input) {
                    self.readers.push(t);
                }
                made.push(t);
                self.made.push((place, t));
                if i + 1 < s.nodes.len() {
                    self.name(t, &format!("ek.{}.{i}", s.name));
                    self.insert(at, t, flags);
                } else {
                    self.successors.push((target, t));
                }
            }
        }
    }

    /// Makes a copy of a node's rows with output, right behind it. Its memory stays its own until the whole graph is evaluated.
    pub unsafe fn copy(&mut self, residual: &Residual) -> *mut ggml_tensor {
        let target = self.viewed.tensor(residual.target);
        // SAFETY: see [`Editor`].
        unsafe {
            let g = &self.host.lib.ggml;
            let t = match residual.rows {
                Some(rows) => (g.ggml_get_rows)(self.ctx, target, self.viewed.tensor(rows)),
                None => (g.ggml_cont)(self.ctx, target),
            };
            self.name(t, &residual.layer.map_or("ek.copy".to_owned(), |layer| format!("ek.copy-{layer}")));
            (g.ggml_set_output)(t);
            self.insert(residual.target.0 + 1, t, (*target).flags);
            self.readers.push(t);
            t
        }
    }

    /// Changes the graph: the new nodes go to their places, the targets become what was made for them. Until here a panic
    /// leaves the graph as the host built it, and nothing in here can panic after the first change.
    ///
    /// Returns the first new node with its place.
    pub unsafe fn finish(self) -> (i32, *mut ggml_tensor) {
        // SAFETY: see [`Editor`]. The array of nodes has room: the lowering checked the graph's capacity.
        unsafe {
            let g = &self.host.lib.graph;
            let n_old = self.viewed.view.n_nodes;
            let (first, anchor) = self.before[0];
            let mut order = Vec::with_capacity(n_old + self.before.len());
            let mut new = self.before.iter().peekable();
            for (i, &old) in self.viewed.tensors[..n_old].iter().enumerate() {
                while let Some((_, t)) = new.next_if(|(at, _)| *at as usize <= i) {
                    order.push(*t);
                }
                order.push(old);
            }
            order.extend(new.map(|(_, t)| *t));
            assert_eq!((g.ggml_graph_n_nodes)(self.graph) as usize, n_old, "a leaf became a node");
            assert_eq!(order.len(), n_old + self.before.len(), "every new node has its place");

            for &(_, t) in &self.before {
                // Counting comes with adding what is not there yet: this node alone, since all that it reads is there.
                match self.readers.contains(&t) {
                    true => (g.ggml_build_forward_expand)(self.graph, t),
                    false => (g.ggml_graph_add_node)(self.graph, t),
                }
            }
            std::ptr::copy_nonoverlapping(order.as_ptr(), (g.ggml_graph_nodes)(self.graph), order.len());
            for &(target, made) in &self.successors {
                // Existing tensors lose no reader that they count and gain none that they do not: the clone took over
                // the target's sources.
                ((*target).op, (*target).op_params, (*target).src) = ((*made).op, (*made).op_params, (*made).src);
            }
            (first as i32, anchor)
        }
    }
}
