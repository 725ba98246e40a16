//! Graphs with the shape of llama.cpp's, without llama.cpp.
#![allow(dead_code, reason = "every test file uses a part of it")]

use evenkeel_core::lower::{GraphView, Name, Op, TensorId, TensorView};

/// What a toy graph looks like.
#[derive(Clone, Copy)]
pub struct Toy {
    pub n_layer: u32,
    pub n_embd: i64,
    pub n_head: i64,
    pub n_tokens: i64,
    pub n_outputs: i64,
    pub logits: bool,
    pub capacity: usize,
}

impl Toy {
    /// 7 tokens, of which the last gives output.
    pub fn new(n_layer: u32, n_embd: u32) -> Toy {
        Toy { n_layer, n_embd: n_embd.into(), n_head: 2, n_tokens: 7, n_outputs: 1, logits: true, capacity: 1024 }
    }

    /// The graph of a plain transformer: in the last block, only output rows go on after attention.
    pub fn build(self) -> GraphView {
        let mut g = Builder::default();
        let tokens = g.leaf("inp_tokens", [self.n_tokens, 1, 1, 1]);
        let out_ids = g.leaf("out_ids", [self.n_outputs, 1, 1, 1]);
        let table = g.leaf("token_embd.weight", [self.n_embd, 512, 1, 1]);
        let all = [self.n_embd, self.n_tokens, 1, 1];
        let mut x = g.node("embd", Op::GetRows, all, &[table, tokens]);
        for layer in 0..self.n_layer {
            let weight = g.leaf(&format!("blk.{layer}.attn_norm.weight"), [self.n_embd, 1, 1, 1]);
            let norm = g.node(&format!("norm-{layer}"), Op::Other, all, &[x]);
            let norm = g.node(&format!("attn_norm-{layer}"), Op::Mul, all, &[norm, weight]);
            let half = [self.n_embd / 2, self.n_tokens, 1, 1];
            let mut product = |what: &str, ne: [i64; 4]| {
                let weight = g.leaf(&format!("blk.{layer}.attn_{what}.weight"), [self.n_embd, ne[0], 1, 1]);
                g.node(&format!("{}cur-{layer}", what.to_uppercase()), Op::MulMat, ne, &[weight, norm])
            };
            let (q, k, v) = (product("q", all), product("k", half), product("v", half));
            let norm = g.node(&format!("kq-{layer}"), Op::Other, all, &[q, k, v]);
            let permuted = g.node("", Op::View, [self.n_embd / self.n_head, self.n_head, self.n_tokens, 1], &[norm]);
            let heads = g.node(&format!("kqv_out-{layer}"), Op::Cont, all, &[permuted]);
            let weight = g.leaf(&format!("blk.{layer}.attn_output.weight"), [self.n_embd, self.n_embd, 1, 1]);
            let mut attn = g.node(&format!("attn_out-{layer}"), Op::MulMat, all, &[weight, heads]);
            let mut rows = all;
            if layer + 1 == self.n_layer {
                rows[1] = self.n_outputs;
                attn = g.node("", Op::GetRows, rows, &[attn, out_ids]);
                x = g.node("", Op::GetRows, rows, &[x, out_ids]);
            }
            let inp = g.node(&format!("ffn_inp-{layer}"), Op::Add, rows, &[attn, x]);
            let ffn = g.node(&format!("ffn_out-{layer}"), Op::Other, rows, &[inp]);
            x = g.node(&format!("l_out-{layer}"), Op::Add, rows, &[ffn, inp]);
        }
        let norm = g.node("result_norm", Op::Other, [self.n_embd, self.n_outputs, 1, 1], &[x]);
        if self.logits {
            let weight = g.leaf("output.weight", [self.n_embd, 512, 1, 1]);
            g.node("result_output", Op::MulMat, [512, self.n_outputs, 1, 1], &[weight, norm]);
        }
        g.finish(self.capacity)
    }
}

/// A tensor while the graph is being made: leafs and nodes are numbered apart.
#[derive(Clone, Copy)]
enum Made {
    Node(usize),
    Leaf(usize),
}

#[derive(Default)]
struct Builder {
    nodes: Vec<(TensorView, Vec<Made>)>,
    leafs: Vec<TensorView>,
}

fn tensor(name: &str, op: Op, ne: [i64; 4]) -> TensorView {
    TensorView { name: Name::new(name), op, ne, f32: true, view: false, compute: true, src: [None; 10] }
}

impl Builder {
    fn leaf(&mut self, name: &str, ne: [i64; 4]) -> Made {
        self.leafs.push(tensor(name, Op::None, ne));
        Made::Leaf(self.leafs.len() - 1)
    }

    fn node(&mut self, name: &str, op: Op, ne: [i64; 4], src: &[Made]) -> Made {
        self.nodes.push((tensor(name, op, ne), src.to_vec()));
        Made::Node(self.nodes.len() - 1)
    }

    fn finish(self, capacity: usize) -> GraphView {
        let n_nodes = self.nodes.len();
        let id = |made: &Made| match *made {
            Made::Node(i) => TensorId(i as u32),
            Made::Leaf(i) => TensorId((n_nodes + i) as u32),
        };
        let wire = |(mut t, src): (TensorView, Vec<Made>)| {
            t.src.iter_mut().zip(&src).for_each(|(slot, made)| *slot = Some(id(made)));
            t
        };
        let tensors = self.nodes.into_iter().map(wire).chain(self.leafs).collect();
        GraphView { tensors, n_nodes, capacity }
    }
}

/// The index of the node of that name.
pub fn position(graph: &GraphView, name: &str) -> usize {
    graph.tensors.iter().position(|t| t.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}
