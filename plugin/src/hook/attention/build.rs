//! New nodes: ggml's operations by short names, each noted in the order in which it was made.

use evenkeel_ffi::generated::{
    symbols::{Attention, Ggml},
    types::*,
};

/// `GGML_PREC_F32`
const PRECISION_F32: i32 = 10;

/// A tensor of a graph under construction.
pub type Tensor = *mut ggml_tensor;

/// Makes nodes in one ggml context.
///
/// Every unsafe method relies on the same facts: operands are valid tensors of this library whose shapes fit the
/// operation, and the context has room for one more.
pub struct Build<'a> {
    g: &'a Ggml,
    a: &'a Attention,
    ctx: *mut ggml_context,
    nodes: Vec<Tensor>,
}

impl<'a> Build<'a> {
    pub fn new(g: &'a Ggml, a: &'a Attention, ctx: *mut ggml_context) -> Build<'a> {
        Build { g, a, ctx, nodes: vec![] }
    }

    /// What was made since the last call.
    pub fn take(&mut self) -> Vec<Tensor> {
        std::mem::take(&mut self.nodes)
    }

    fn note(&mut self, t: Tensor) -> Tensor {
        self.nodes.push(t);
        t
    }

    /// `a · b`, summed in F32.
    pub unsafe fn product(&mut self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: see [`Build`]. The first parameter of a product is its precision.
        unsafe {
            let t = (self.a.ggml_mul_mat)(self.ctx, a, b);
            (*t).op_params[0] = PRECISION_F32;
            self.note(t)
        }
    }

    /// Takes the orthogonal `matrix` out of keys that were multiplied by it, head by head or in parts of heads.
    pub unsafe fn unmix(&mut self, keys: Tensor, matrix: Tensor) -> Tensor {
        // SAFETY: see [`Build`]; the width of the keys is a multiple of the matrix's.
        unsafe {
            let (ne, n) = ((*keys).ne, (*matrix).ne[0]);
            let back = self.permute(matrix, [1, 0, 2, 3]);
            let back = self.contiguous(back);
            let parts = self.reshape(keys, [n, ne[0] / n * ne[1], 1, 1]);
            let parts = self.product(back, parts);
            self.reshape(parts, ne)
        }
    }

    /// The same elementwise operation as `like`, of `a`.
    pub unsafe fn as_in(&mut self, like: Tensor, a: Tensor) -> Tensor {
        // SAFETY: see [`Build`]; the operation has one operand, and a result of its shape.
        unsafe {
            let t = (self.g.ggml_dup_tensor)(self.ctx, a);
            ((*t).op, (*t).op_params) = ((*like).op, (*like).op_params);
            (*t).src[0] = a;
            self.note(t)
        }
    }

    /// Softmax along the first dimension of `scale · a + mask`, with one more score for each of the third (`sinks`, or null).
    pub unsafe fn soft_max(&mut self, a: Tensor, mask: Tensor, scale: f32, sinks: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        unsafe {
            let t = (self.a.ggml_soft_max_ext)(self.ctx, a, mask, scale, 0.0);
            if !sinks.is_null() {
                (self.a.ggml_soft_max_add_sinks)(t, sinks);
            }
            self.note(t)
        }
    }

    /// `a`, times a number.
    pub unsafe fn scale(&mut self, a: Tensor, by: f32) -> Tensor {
        if by == 1.0 {
            return a;
        }
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_scale)(self.ctx, a, by) };
        self.note(t)
    }

    /// `cap · tanh(a · scale / cap)`
    pub unsafe fn cap(&mut self, a: Tensor, scale: f32, cap: f32) -> Tensor {
        // SAFETY: see [`Build`].
        unsafe {
            let scaled = (self.g.ggml_scale)(self.ctx, a, scale / cap);
            self.note(scaled);
            let bent = (self.a.ggml_tanh)(self.ctx, scaled);
            self.note(bent);
            let t = (self.g.ggml_scale)(self.ctx, bent, cap);
            self.note(t)
        }
    }

    pub unsafe fn permute(&mut self, a: Tensor, to: [i32; 4]) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_permute)(self.ctx, a, to[0], to[1], to[2], to[3]) };
        self.note(t)
    }

    /// A copy, if `a` is not contiguous as it is.
    pub unsafe fn contiguous(&mut self, a: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        unsafe {
            if is_contiguous(a) {
                return a;
            }
            let t = (self.g.ggml_cont)(self.ctx, a);
            self.note(t)
        }
    }

    pub unsafe fn reshape(&mut self, a: Tensor, ne: [i64; 4]) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_reshape_4d)(self.ctx, a, ne[0], ne[1], ne[2], ne[3]) };
        self.note(t)
    }

    /// A matrix of rows, also of a tensor that is not contiguous.
    pub unsafe fn rows(&mut self, a: Tensor, width: i64, n_rows: i64) -> Tensor {
        // SAFETY: see [`Build`].
        unsafe {
            if is_contiguous(a) {
                return self.reshape(a, [width, n_rows, 1, 1]);
            }
            let t = (self.a.ggml_cont_2d)(self.ctx, a, width, n_rows);
            self.note(t)
        }
    }

    /// `n` of one dimension, from `first`; the others whole.
    pub unsafe fn part(&mut self, a: Tensor, dimension: usize, first: usize, n: usize) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe {
            let (mut ne, nb) = ((*a).ne, (*a).nb);
            ne[dimension] = n as i64;
            (self.a.ggml_view_4d)(self.ctx, a, ne[0], ne[1], ne[2], ne[3], nb[1], nb[2], nb[3], first * nb[dimension])
        };
        self.note(t)
    }

    /// The cells of a cache as rows of `width` numbers, from how attention sees them: `[n_embd_head, n_cells, n_head_kv]`, of
    /// which a cell's lie together.
    pub unsafe fn cells(&mut self, a: Tensor, width: i64) -> Tensor {
        // SAFETY: see [`Build`]; a view of the cache, or the cache itself.
        let t = unsafe {
            let (root, offset) = if (*a).view_src.is_null() { (a, 0) } else { ((*a).view_src, (*a).view_offs) };
            (self.g.ggml_view_2d)(self.ctx, root, width, (*a).ne[1], (*a).nb[1], offset)
        };
        self.note(t)
    }

    pub unsafe fn concat(&mut self, a: Tensor, b: Tensor, dimension: i32) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_concat)(self.ctx, a, b, dimension) };
        self.note(t)
    }

    pub unsafe fn cast(&mut self, a: Tensor, kind: ggml_type) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_cast)(self.ctx, a, kind) };
        self.note(t)
    }

    /// Writes `a` into `into`.
    pub unsafe fn copy(&mut self, a: Tensor, into: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_cpy)(self.ctx, a, into) };
        self.note(t)
    }

    pub unsafe fn subtract(&mut self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.a.ggml_sub)(self.ctx, a, b) };
        self.note(t)
    }

    pub unsafe fn sum(&mut self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_add)(self.ctx, a, b) };
        self.note(t)
    }

    pub unsafe fn times(&mut self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_mul)(self.ctx, a, b) };
        self.note(t)
    }

    pub unsafe fn step(&mut self, a: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_step)(self.ctx, a) };
        self.note(t)
    }

    pub unsafe fn sum_rows(&mut self, a: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_sum_rows)(self.ctx, a) };
        self.note(t)
    }

    /// `a`, repeated to these extents.
    pub unsafe fn repeat(&mut self, a: Tensor, ne: [i64; 4]) -> Tensor {
        // SAFETY: see [`Build`]; the second operand only gives the extents.
        let t = unsafe {
            let like = (self.g.ggml_new_tensor_4d)(self.ctx, (*a).type_, ne[0], ne[1], ne[2], ne[3]);
            (self.g.ggml_repeat)(self.ctx, a, like)
        };
        self.note(t)
    }

    pub unsafe fn get_rows(&mut self, a: Tensor, rows: Tensor) -> Tensor {
        // SAFETY: see [`Build`].
        let t = unsafe { (self.g.ggml_get_rows)(self.ctx, a, rows) };
        self.note(t)
    }

    /// Writes `a` to those rows of `into`, a view of a tensor that others read.
    pub unsafe fn overwrite(&mut self, into: Tensor, a: Tensor, rows: Tensor) {
        // SAFETY: see [`Build`].
        unsafe {
            let written = (self.g.ggml_set_rows)(self.ctx, into, a, rows);
            self.note(written);
            // ggml-alloc keeps the memory of what a view shows until something has read the view: unread, this one would hold
            // a layer's result until the graph's end.
            let one = (self.a.ggml_view_4d)(self.ctx, written, 1, 1, 1, 1, (*written).nb[1], 0, 0, 0);
            self.note(one);
            let read = (self.g.ggml_cont)(self.ctx, one);
            self.note(read);
        }
    }

    /// `a` `[n_embd_head, 1, n]`, turned by as much as the positions say, as the host's `like` turns, but with no change of
    /// length: where positions are scaled (YaRN), ggml multiplies at every turn.
    pub unsafe fn turn(&mut self, a: Tensor, positions: Tensor, like: Tensor) -> Tensor {
        // SAFETY: see [`Build`]. The parameters of a rotation: [6] is freq_scale, [7] ext_factor, [8] attn_factor.
        unsafe {
            let mut params = (*like).op_params;
            let float = |i: usize| f32::from_bits(params[i] as u32);
            let (freq_scale, ext_factor) = (float(6), float(7));
            let length = if ext_factor == 0.0 { 1.0 } else { 1.0 / (1.0 + 0.1 * (1.0 / freq_scale).ln()) };
            params[8] = length.to_bits() as i32;
            let (n_dims, mode) = (params[1], params[2]);
            let factors = (*like).src[2];
            let t =
                (self.a.ggml_rope_ext)(self.ctx, a, positions, factors, n_dims, mode, 0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0);
            (*t).op_params = params;
            self.note(t)
        }
    }
}

/// As `ggml_is_contiguous`; false for types with blocks, which a copy is right for too.
unsafe fn is_contiguous(a: Tensor) -> bool {
    // SAFETY: the caller's promise: a valid tensor.
    let (kind, ne, nb) = unsafe { ((*a).type_, (*a).ne, (*a).nb) };
    let mut expected = match kind {
        GGML_TYPE_F32 | GGML_TYPE_I32 => 4,
        GGML_TYPE_F16 => 2,
        _ => return false,
    };
    ne.into_iter().zip(nb).all(|(ne, nb)| {
        let fits = ne == 1 || nb == expected;
        expected *= ne as usize;
        fits
    })
}
