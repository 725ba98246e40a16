//! The residual stream of the rows with output, copied in the graph: the right rows of the right layers, whatever the micro-batches
//! are, with and without a profile, and no trace once it is over.

use super::support::*;

/// The null host's residual stream of a token after a block.
fn stream(token: usize, layer: usize, profile: bool) -> String {
    let values = (0..4).map(|i| {
        let plain = (1 + (4 * token + i) % 5) as f32 * FACTORS[i].powi(layer as i32 + 1);
        let added = if profile && layer >= 1 { (i + 1) as f32 * FACTORS[i].powi(layer as i32 - 1) } else { 0.0 };
        format!(" {}", plain + added)
    });
    values.collect()
}

/// What the driver prints of these rows, given as sequence, position and token.
fn rows(rows: &[(usize, usize, usize)], profile: bool) -> String {
    let line = |layer: usize, (seq, pos, token): &(usize, usize, usize)| {
        format!("layer {layer}, sequence {seq}, position {pos}, token {token}:{}\n", stream(*token, layer, profile))
    };
    let layers: String = (0..3).flat_map(|layer| rows.iter().map(move |row| line(layer, row))).collect();
    let tight = if rows.is_empty() { "tight: 0, 7" } else { "tight: 6, 7" };
    format!("captured: 0, {} rows\n{layers}{tight}\n", rows.len())
}

fn run(door: Door, profile: bool, arguments: &[&str]) -> Ran {
    let file = Profile::with(CONSTANT);
    let driver = Driver::new(door, "capture").arg("ubatch=2");
    let driver = if profile { driver.env("EVENKEEL_PROFILE", file.path()) } else { driver };
    arguments.iter().fold(driver, |d, a| d.arg(a)).run()
}

#[test]
fn every_row_with_output_has_what_the_model_had_after_each_layer() {
    for (door, profile) in
        [(Door::Preload, false), (Door::Preload, true), (Door::Install, false), (Door::Install, true)]
    {
        for arguments in [&[][..], &["ext=1"], &["fresh=1", "no-reuse=1"]] {
            let ran = run(door, profile, arguments);
            let before = "captured: 8, 0 rows\nctx is no llama_context that ek_capture was called for\ncapture: 0\n";
            ran.printed(before)
                // Of a graph that was built before, the host builds another.
                .printed(&rows(&[(0, 1, 2)], profile))
                // The last batch only, of a graph that is reused.
                .printed(&rows(&[(0, 3, 1)], profile))
                // Rows of two micro-batches.
                .printed(&rows(&[(0, 1, 2), (1, 0, 3), (0, 2, 4)], profile))
                .printed(&rows(&[], profile))
                // The scheduler is made anew before it is asked.
                .printed(&format!("{}end: 0\n", rows(&[(0, 2, 1)], profile)))
                .printed("freed: 8\n");
            let steered = if profile { 1.0 } else { 0.0 };
            let expected: Vec<_> = [2, 2, 1, 1].map(|n| steered_at(n, steered)).into();
            assert_eq!(ran.logits()[..4], expected, "{ran}");
            assert_ne!(ran.stats()["status"], "poisoned", "{ran}");
        }
    }
}

fn steered_at(n: usize, strength: f32) -> [f32; 4] {
    steered(n, 1, strength)
}

#[test]
fn what_is_not_captured_has_no_copies() {
    let ran = run(Door::Preload, false, &["print=1"]);
    let graphs: Vec<&str> = ran.stdout.split("split_graph: ").skip(1).collect();
    let has = |graph: &&str| graph.contains("ek.copy");
    assert!(!has(&graphs[0]) && graphs.iter().any(has), "{ran}");
    let after = ran.stdout.split("end: 0\n").nth(1).expect("it ends");
    assert!(after.split("split_graph: ").nth(1).is_some_and(|graph| !has(&graph)), "{ran}");
}

#[test]
fn a_graph_without_room_says_so_and_runs_as_it_is() {
    let ran = run(Door::Preload, false, &["graph-size=85"]);
    ran.printed("captured: 3, 0 rows\nthe graph has ");
    assert_eq!(ran.logits()[..2], [plain(2), plain(2)], "{ran}");
}

#[test]
fn a_model_whose_blocks_are_of_another_shape_has_the_others() {
    let ran = run(Door::Preload, false, &["shape=3"]);
    assert!(!ran.stdout.contains("layer 1,"), "{ran}");
    ran.printed("layer 0, sequence 0, position 1, token 2:").printed("layer 2, sequence 0, position 1, token 2:");
}
