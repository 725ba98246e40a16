//! The graph that is evaluated in place of a context's own: all of its nodes, those of the second context's graph, and one
//! product where both multiply by the same weights, whose rows the two products become views of.

use std::sync::Arc;

use evenkeel_core::lower::{Step, join};
use evenkeel_ffi::generated::{symbols::Join, types::*};
use rustc_hash::FxHashMap;

use super::{
    super::{library::Host, view},
    beside::{Beside, products},
};

/// The graph, and the metadata of what was made for it.
pub struct Joined {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    /// It.
    pub graph: *mut ggml_cgraph,
    /// Which second graph is in it.
    pub number: u64,
}

// SAFETY: the metadata has no thread affinity, and the graph is only touched under the state's lock.
unsafe impl Send for Joined {}

impl Drop for Joined {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once, with the graph in whose place it was evaluated.
        unsafe { (self.host.lib.ggml.ggml_free)(self.ctx) }
    }
}

/// Why two graphs cannot be joined. Neither was touched.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It was built anew, or not kept.
    #[error("the second context's graph is gone")]
    Gone,
    /// ggml lacks a function.
    #[error("this ggml lacks functions that two graphs are joined with")]
    Functions,
    /// The scheduler's room.
    #[error("both graphs need {needed} nodes and leafs, the scheduler has room for {room}")]
    Room {
        /// What they need.
        needed: usize,
        /// What there is.
        room: usize,
    },
    /// No memory for metadata.
    #[error("{0} bytes for graph metadata could not be allocated")]
    Metadata(usize),
}

/// Two products, by the places of their nodes, and the tensors that take part.
struct Pair {
    own: [*mut ggml_tensor; 2],
    rows: [*mut ggml_tensor; 2],
}

/// At most: a product of each layer's weights, and the rows that it reads.
pub fn room(nodes: usize, products: usize) -> usize {
    nodes + 2 * products
}

impl Joined {
    /// Joins `graph`, which is about to be allocated, with another.
    ///
    /// # Errors
    /// [`JoinError`]
    ///
    /// # Safety
    /// Both graphs are alive, this thread alone uses them, and no scheduler has them.
    pub unsafe fn new(
        host: &Arc<Host>,
        graph: *mut ggml_cgraph,
        beside: &mut Beside,
        capacity: usize,
    ) -> Result<Joined, JoinError> {
        let functions = host.lib.join.as_ref().ok_or(JoinError::Functions)?;
        // SAFETY: the caller's promise; the context made here has room for the graph and every tensor that is made.
        unsafe {
            beside.restore();
            let first = view::read(&host.lib, host.facts.compute_flag, graph);
            let own = [products(&first), products(&beside.viewed)];
            let steps = join(&own[0], &own[1]);
            let n_pairs = steps.iter().filter(|step| matches!(step, Step::Both(..))).count();
            let needed = room(first.tensors.len() + beside.size(), n_pairs);
            if needed > capacity {
                return Err(JoinError::Room { needed, room: capacity });
            }
            let g = &host.lib.ggml;
            let n_tensors = 4 * n_pairs + 8;
            let mem_size = n_tensors * (g.ggml_tensor_overhead)() + (g.ggml_graph_overhead_custom)(needed, false);
            let ctx = (g.ggml_init)(ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true });
            if ctx.is_null() {
                return Err(JoinError::Metadata(mem_size));
            }
            let joined = (host.lib.graph.ggml_new_graph_custom)(ctx, needed, false);
            let mut maker = Maker { host, functions, ctx, rows: FxHashMap::default(), moved: FxHashMap::default() };
            let mut order: Vec<*mut ggml_tensor> = Vec::with_capacity(needed);
            for step in steps {
                match step {
                    Step::First(nodes) => order.extend(nodes.map(|i| first.tensors[i])),
                    Step::Second(nodes) => order.extend(nodes.map(|i| beside.viewed.tensors[i])),
                    Step::Both(i, j) => {
                        let own = [first.tensors[i], beside.viewed.tensors[j]];
                        let rows = own.map(|t| (*t).src[1]);
                        maker.both(Pair { own, rows }, &mut order);
                    }
                }
            }
            maker.rebase(&order);
            // Adding counts what is read; each brings itself alone, since all that it reads is there. What is not to be
            // computed stays so.
            let flags: Vec<i32> = order.iter().map(|t| (**t).flags).collect();
            for t in &order {
                (host.lib.graph.ggml_build_forward_expand)(joined, *t);
            }
            for (t, flags) in order.iter().zip(flags) {
                (**t).flags = flags;
            }
            Ok(Joined { host: host.clone(), ctx, graph: joined, number: beside.number })
        }
    }
}

/// Makes products of the rows of both graphs.
struct Maker<'a> {
    host: &'a Host,
    functions: &'a Join,
    ctx: *mut ggml_context,
    /// The rows of both, one after the other: products of the same rows share them.
    rows: FxHashMap<[usize; 2], *mut ggml_tensor>,
    /// What became of each product: which tensor it shows, from where on.
    moved: FxHashMap<usize, (*mut ggml_tensor, usize)>,
}

impl Maker<'_> {
    unsafe fn name(&self, t: *mut ggml_tensor, what: &[u8], of: *mut ggml_tensor) {
        // SAFETY: tensors of this graph; set_name copies and cuts.
        unsafe {
            let name = (*of).name.map(|c| c as u8);
            let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
            let text = [b"ek.", what, b".", &name[..end], b"\0"].concat();
            (self.host.lib.ggml.ggml_set_name)(t, text.as_ptr().cast());
        }
    }

    /// One product in place of two, which become views of it.
    unsafe fn both(&mut self, pair: Pair, order: &mut Vec<*mut ggml_tensor>) {
        let Pair { own, rows } = pair;
        // SAFETY: the products and what they read are tensors of graphs that this thread alone uses.
        unsafe {
            let computed = (*own[0]).flags & GGML_TENSOR_FLAG_COMPUTE as i32;
            let key = rows.map(|t| t as usize);
            let all = match self.rows.get(&key) {
                Some(all) => *all,
                None => {
                    let all = (self.functions.ggml_concat)(self.ctx, rows[0], rows[1], 1);
                    self.name(all, b"rows", rows[0]);
                    (*all).flags |= computed;
                    order.push(all);
                    self.rows.insert(key, all);
                    all
                }
            };
            let product = (self.functions.ggml_mul_mat)(self.ctx, (*own[0]).src[0], all);
            (*product).op_params = (*own[0]).op_params;
            (*product).flags |= computed | (own.map(|t| (*t).flags)[0] & GGML_TENSOR_FLAG_OUTPUT as i32);
            self.name(product, b"both", own[0]);
            order.push(product);
            let mut at = 0;
            for t in own {
                let view =
                    (self.functions.ggml_view_2d)(self.ctx, product, (*t).ne[0], (*t).ne[1], (*product).nb[1], at);
                ((*t).op, (*t).op_params, (*t).src) = ((*view).op, (*view).op_params, (*view).src);
                ((*t).view_src, (*t).view_offs) = ((*view).view_src, (*view).view_offs);
                self.moved.insert(t as usize, (product, at));
                order.push(t);
                at += (*product).nb[1] * (*t).ne[1] as usize;
            }
        }
    }

    /// What was a view of a product shows the one that was made in its place: ggml knows no views of views.
    unsafe fn rebase(&self, order: &[*mut ggml_tensor]) {
        for t in order {
            // SAFETY: as above.
            unsafe {
                if let Some((product, at)) = self.moved.get(&((**t).view_src as usize)) {
                    ((**t).view_src, (**t).view_offs) = (*product, (**t).view_offs + at);
                }
            }
        }
    }
}
