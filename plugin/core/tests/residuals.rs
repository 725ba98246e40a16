//! Where the residual stream is copied from.

mod toy;

use evenkeel_core::lower::{GraphView, LowerError, Name, Op, residuals};
use toy::Toy;

fn toy() -> Toy {
    Toy::new(3, 8)
}

fn position(graph: &GraphView, name: &str) -> u32 {
    graph.last(name).unwrap_or_else(|| panic!("{name}")).0
}

#[test]
fn every_layer_is_copied_once_and_only_the_rows_with_output() {
    let graph = toy().build();
    let found = residuals(&graph).expect("there is room");
    let layers: Vec<_> = found.iter().map(|r| (r.layer, r.target.0)).collect();
    let at = |name| position(&graph, name);
    let expected =
        [(Some(0), at("l_out-0")), (Some(1), at("l_out-1")), (Some(2), at("l_out-2")), (None, at("result_norm"))];
    assert_eq!(layers, expected);
    // The last layer, and what follows, has these rows only.
    let out_ids = graph.leaf("out_ids");
    assert!(out_ids.is_some());
    assert_eq!(found.iter().map(|r| r.rows).collect::<Vec<_>>(), [out_ids, out_ids, None, None]);
}

#[test]
fn a_graph_that_selects_no_rows_is_copied_whole() {
    let mut graph = toy().build();
    for t in graph.tensors.iter_mut().filter(|t| t.name.as_str() == "out_ids") {
        t.name = Name::new("something");
    }
    assert!(residuals(&graph).expect("there is room").iter().all(|r| r.rows.is_none()));
}

#[test]
fn a_layer_that_is_no_stream_is_left_out_and_a_graph_without_logits_has_none() {
    let mut graph = toy().build();
    let at = position(&graph, "l_out-1") as usize;
    graph.tensors[at].ne[2] = 2;
    let layers = residuals(&graph).expect("there is room");
    assert_eq!(layers.iter().map(|r| r.layer).collect::<Vec<_>>(), [Some(0), Some(2), None]);
    graph.tensors[at].ne[2] = 1;
    graph.tensors[at].op = Op::View;
    assert_eq!(residuals(&graph).expect("there is room").len(), 3, "views hold no data of their own");
    assert_eq!(residuals(&Toy { logits: false, ..toy() }.build()), Ok(vec![]));
}

#[test]
fn a_graph_without_room_stays_as_it_is() {
    let graph = toy().build();
    let has = graph.tensors.len();
    let with = |capacity| residuals(&GraphView { capacity, ..graph.clone() });
    assert_eq!(with(has + 4 + 64).map(|found| found.len()), Ok(4));
    let Err(LowerError::Capacity { new_nodes: 4, new_leafs: 0, .. }) = with(has + 4 + 63) else {
        panic!("there is no room")
    };
}
