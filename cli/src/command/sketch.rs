//! A graph with nothing but what rules act on, as llama.cpp builds it for plain transformers.

use evenkeel_core::{
    asset::Weight,
    lower::{GraphView, Name, Op, TensorId, TensorView},
    plan::{Plan, Site, Term},
};

/// One token; the output rows gathered in the last block; of the model's products those that the plan edits, in the shapes
/// that it edits.
pub fn sketch(plan: &Plan) -> GraphView {
    let model = &plan.model;
    let width = i64::from(model.n_embd);
    let heads = i64::from(model.n_head.unwrap_or(1).max(1));
    let row = [width, 1, 1, 1];
    let mut s = Sketch::default();
    let tokens = s.leaf("inp_tokens");
    let out_ids = s.leaf("out_ids");
    let mut x = s.node("embd", Op::GetRows, row, &[tokens]);
    for layer in 0..model.n_layer {
        let weight = s.leaf(&format!("blk.{layer}.attn_norm.weight"));
        let norm = s.node("norm", Op::Other, row, &[x]);
        let norm = s.node(&format!("attn_norm-{layer}"), Op::Mul, row, &[norm, weight]);
        for weight in [Weight::AttnQ, Weight::AttnK, Weight::AttnV, Weight::AttnQkv] {
            s.product(plan, layer, weight, norm);
        }
        let permuted = s.node("", Op::View, [width / heads, heads, 1, 1], &[norm]);
        let kqv = s.node(&format!("kqv_out-{layer}"), Op::Cont, row, &[permuted]);
        let weight = s.leaf(&format!("blk.{layer}.attn_output.weight"));
        let mut attn = s.node(&format!("attn_out-{layer}"), Op::MulMat, row, &[weight, kqv]);
        if layer + 1 == model.n_layer {
            attn = s.node("", Op::GetRows, row, &[attn, out_ids]);
            x = s.node("", Op::GetRows, row, &[x, out_ids]);
        }
        let between = s.node(&format!("ffn_inp-{layer}"), Op::Add, row, &[attn, x]);
        let ffn = s.node(&format!("ffn_out-{layer}"), Op::Other, row, &[between]);
        for weight in [Weight::FfnGate, Weight::FfnUp, Weight::FfnDown] {
            s.product(plan, layer, weight, between);
        }
        x = s.node(&format!("l_out-{layer}"), Op::Add, row, &[ffn, between]);
    }
    let norm = s.node("result_norm", Op::Other, row, &[x]);
    s.product(plan, model.n_layer.saturating_sub(1), Weight::Output, norm);
    let calibrated = plan.sites.iter().flat_map(|site| &site.terms).find_map(|term| match term {
        Term::Calibrate { calibration, .. } => Some(calibration.n_vocab),
        _ => None,
    });
    s.node("result_output", Op::Other, [calibrated.unwrap_or(1).into(), 1, 1, 1], &[norm]);
    s.finish()
}

/// Nodes and leafs; leafs are numbered from the end of 32 bits downwards until the number of nodes is known.
#[derive(Default)]
struct Sketch {
    nodes: Vec<TensorView>,
    leafs: Vec<TensorView>,
}

impl Sketch {
    fn leaf(&mut self, name: &str) -> TensorId {
        self.leafs.push(tensor(name, Op::None, [1; 4], &[]));
        TensorId(u32::MAX - (self.leafs.len() as u32 - 1))
    }

    fn node(&mut self, name: &str, op: Op, ne: [i64; 4], src: &[TensorId]) -> TensorId {
        self.nodes.push(tensor(name, op, ne, src));
        TensorId(self.nodes.len() as u32 - 1)
    }

    /// A product that the plan edits. The output projection is there in any case, for the heads that it reads.
    fn product(&mut self, plan: &Plan, layer: u32, weight: Weight, reads: TensorId) {
        let here = plan.sites.iter().find(|s| (s.site, s.layer) == (Site::Product(weight), layer));
        let Some(Term::Edit { rank, a, b, .. }) = here.and_then(|s| s.terms.first()) else { return };
        let (inputs, outputs) = (a.len() as i64 / i64::from(*rank), b.len() as i64 / i64::from(*rank));
        let name = if weight == Weight::Output { "output".to_owned() } else { format!("blk.{layer}.{weight}") };
        let matrix = self.leaf(&format!("{name}.weight"));
        let input = self.node("", Op::Other, [inputs, 1, 1, 1], &[reads]);
        self.node(&name, Op::MulMat, [outputs, 1, 1, 1], &[matrix, input]);
    }

    fn finish(self) -> GraphView {
        let Sketch { mut nodes, leafs } = self;
        let n_nodes = nodes.len() as u32;
        for src in nodes.iter_mut().flat_map(|t| t.src.iter_mut().flatten()).filter(|src| src.0 >= n_nodes) {
            *src = TensorId(n_nodes + (u32::MAX - src.0));
        }
        nodes.extend(leafs);
        GraphView { tensors: nodes, n_nodes: n_nodes as usize, capacity: 1 << 20 }
    }
}

fn tensor(name: &str, op: Op, ne: [i64; 4], src: &[TensorId]) -> TensorView {
    let mut sources = [None; 10];
    sources.iter_mut().zip(src).for_each(|(slot, id)| *slot = Some(*id));
    TensorView { name: Name::new(name), op, ne, f32: true, view: op == Op::View, compute: true, src: sources }
}
