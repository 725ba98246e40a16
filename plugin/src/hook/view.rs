//! From a `ggml_cgraph` to the lowering's view of it.

use std::ffi::CStr;

use evenkeel_core::lower::{GraphView, Name, Op, TensorId, TensorView};
use evenkeel_ffi::{generated::types::*, library::Library};
use rustc_hash::FxHashMap;

/// A view, and for each of its tensors the host's.
pub struct Viewed {
    /// What the lowering sees.
    pub view: GraphView,
    /// By [`TensorId`].
    pub tensors: Vec<*mut ggml_tensor>,
}

impl Viewed {
    /// The host's tensor.
    pub fn tensor(&self, id: TensorId) -> *mut ggml_tensor {
        self.tensors[id.0 as usize]
    }
}

/// Reads a graph.
///
/// # Safety
/// `graph` is a graph of this library that no other thread changes; the library passed the self-test.
pub unsafe fn read(lib: &Library, compute_flag: bool, graph: *mut ggml_cgraph) -> Viewed {
    // SAFETY: the array of nodes holds n_nodes valid tensors, and every tensor's sources are null or valid.
    unsafe {
        let n_nodes = (lib.graph.ggml_graph_n_nodes)(graph) as usize;
        let capacity = (lib.graph.ggml_graph_size)(graph) as usize;
        let nodes = std::slice::from_raw_parts((lib.graph.ggml_graph_nodes)(graph), n_nodes);
        let mut tensors = nodes.to_vec();
        let mut ids: FxHashMap<usize, u32> = FxHashMap::default();
        ids.reserve(2 * n_nodes);
        ids.extend(nodes.iter().enumerate().map(|(i, &t)| (t as usize, i as u32)));
        let mut views = Vec::with_capacity(2 * n_nodes);
        let mut ops = Ops::default();
        let mut i = 0;
        // `tensors` grows while it is walked: a source that is no node is a leaf.
        while i < tensors.len() {
            let t = &*tensors[i];
            let name = Name::from_bytes(t.name.map(|c| c as u8));
            let mut src = [None; 10];
            if i < n_nodes {
                for (slot, &source) in src.iter_mut().zip(&t.src) {
                    if !source.is_null() {
                        let next = tensors.len() as u32;
                        let id = *ids.entry(source as usize).or_insert(next);
                        if id == next {
                            tensors.push(source);
                        }
                        *slot = Some(TensorId(id));
                    }
                }
            }
            views.push(TensorView {
                name,
                op: ops.of(lib, t.op),
                ne: t.ne,
                f32: t.type_ == GGML_TYPE_F32,
                view: !t.view_src.is_null(),
                compute: !compute_flag || t.flags & GGML_TENSOR_FLAG_COMPUTE as i32 != 0,
                src,
            });
            i += 1;
        }
        Viewed { view: GraphView { tensors: views, n_nodes, capacity }, tensors }
    }
}

/// Whether a node is still in a graph: where it was put, or elsewhere, because a backend may order the nodes anew (Vulkan
/// does).
///
/// # Safety
/// `graph` is a valid graph of this library that no other thread changes.
pub unsafe fn holds(lib: &Library, graph: *mut ggml_cgraph, (place, node): (i32, *mut ggml_tensor)) -> bool {
    // SAFETY: the caller's promise; the array of nodes holds n_nodes pointers.
    unsafe {
        let n_nodes = (lib.graph.ggml_graph_n_nodes)(graph) as usize;
        let nodes = std::slice::from_raw_parts((lib.graph.ggml_graph_nodes)(graph), n_nodes);
        nodes.get(place as usize) == Some(&node) || nodes.contains(&node)
    }
}

/// Operations by number. Numbers shift between versions, so each that occurs is looked up by name, once per graph.
#[derive(Default)]
struct Ops {
    known: FxHashMap<ggml_op, Op>,
}

impl Ops {
    /// # Safety
    /// `number` is the operation of a valid tensor of this library.
    unsafe fn of(&mut self, lib: &Library, number: ggml_op) -> Op {
        *self.known.entry(number).or_insert_with(|| {
            // SAFETY: the caller's promise; the host returns a static C string.
            let name = unsafe { CStr::from_ptr((lib.ggml.ggml_op_name)(number)) };
            name.to_str().map_or(Op::Other, Op::from_name)
        })
    }
}
