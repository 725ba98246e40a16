//! Computes patches without ggml.

use evenkeel_core::{
    lower::{Leaf, NewNode, Patch, Ref, Substitution},
    plan::ProbeIndex,
};

/// Computes one substitution on rows `x`, with one gate value per row. A value of one column stands for all.
pub fn evaluate(patch: &Patch, s: &Substitution, x: &[Vec<f32>], gates: &[f32]) -> Vec<Vec<f32>> {
    let mut made: Vec<Vec<Vec<f32>>> = Vec::new();
    for node in &s.nodes {
        let value = |r: &Ref| match *r {
            Ref::Original => x.to_vec(),
            Ref::Input => panic!("a substitution of a product"),
            Ref::Node(i) => made[i as usize].clone(),
            Ref::Gate(_) | Ref::OutputGate(_) => gates.iter().map(|g| vec![*g]).collect(),
            Ref::Tap(p) | Ref::OutputTap(p) => made[tapped(s, p)].clone(),
            Ref::Slots(_) | Ref::OutputSlots(_) => panic!("what is held is another test's"),
            Ref::Gates(..) | Ref::OutputGates(..) => panic!("priors are another test's"),
            Ref::Leaf(i) => {
                let Leaf::Constant { data, .. } = &patch.leafs[i as usize] else { panic!() };
                vec![data.to_vec(); x.len()]
            }
        };
        let pairs = |a: &Ref, b: &Ref, f: fn(f32, f32) -> f32| -> Vec<Vec<f32>> {
            let row = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b.iter().cycle()).map(|(a, b)| f(*a, *b)).collect();
            value(a).iter().zip(&value(b)).map(row).collect()
        };
        let each = |a: &Ref, f: &dyn Fn(f32) -> f32| -> Vec<Vec<f32>> {
            value(a).iter().map(|row| row.iter().map(|v| f(*v)).collect()).collect()
        };
        made.push(match node {
            NewNode::Add(a, b) => pairs(a, b, |a, b| a + b),
            NewNode::Mul(a, b) => pairs(a, b, |a, b| a * b),
            NewNode::Repeat(a, _) => value(a),
            NewNode::SumRows(a) => {
                value(a).iter().map(|r| vec![r.iter().map(|v| f64::from(*v)).sum::<f64>() as f32]).collect()
            }
            NewNode::Scale(a, scale, bias) => each(a, &|v| v * scale + bias),
            NewNode::RepeatTo(a, [_, rows, ..]) => value(a).into_iter().cycle().take(*rows as usize).collect(),
            NewNode::Sqrt(a) => each(a, &f32::sqrt),
            NewNode::Step(a) => each(a, &|v| f32::from(u8::from(v > 0.0))),
            NewNode::Sigmoid(a) => each(a, &|v| 1.0 / (1.0 + (-v).exp())),
            NewNode::Copy(a) => value(a),
            NewNode::Relu(a) => each(a, &|v| v.max(0.0)),
            NewNode::Clamp(a, min, max) => each(a, &|v| v.clamp(*min, *max)),
            node => panic!("{node:?}"),
        });
    }
    made.pop().unwrap()
}

/// The node that holds what a probe said, where probe and rule are at one site.
fn tapped(s: &Substitution, probe: ProbeIndex) -> usize {
    s.taps.iter().find(|(p, _)| *p == probe).unwrap().1 as usize
}
