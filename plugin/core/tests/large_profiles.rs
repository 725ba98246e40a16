//! Profiles of the largest size and the worst shape: answered in time, with a report that a person can read.

use std::time::{Duration, Instant};

use evenkeel_core::profile::Profile;
use evenkeel_core::report::MAX_ERRORS;

/// The cap; less where the code is not optimised, so that the test stays short.
const SIZE: usize = if cfg!(debug_assertions) { 1 << 17 } else { 1 << 20 };

fn fill(start: &str, part: impl Fn(usize) -> String) -> String {
    let mut text = start.to_owned();
    for i in 0.. {
        let part = part(i);
        if text.len() + part.len() > SIZE {
            break;
        }
        text += &part;
    }
    text
}

#[test]
fn the_worst_shapes_are_answered_in_time() {
    let same = |part: &'static str| move |_| part.to_owned();
    let shapes = [
        ("unknown keys", fill("schema = 1\n", |i| format!("k{i} = 1\n"))),
        ("one key again", fill("schema = 1\n", same("k = 1\n"))),
        ("one line", fill("schema = 1\nx = {", |i| format!("k{i}=1,"))),
        ("errors on one line", fill("schema = 1\nsteer = [", same("{strenght=1},"))),
        ("tables", fill("schema = 1\n", same("[[steer]]\n"))),
        ("tables of tables", fill("schema = 1\n", |i| format!("[steer.a{i}]\n"))),
        ("deep brackets", fill("x = ", same("["))),
        ("deep tables", fill("x = ", same("{a="))),
        ("deep keys", fill("", same("a."))),
        ("broken lines", fill("", same("=\n"))),
        ("quotes", fill("", same("\"\n"))),
        ("long text", format!("schema = 1\nname = \"{}\"", "ü".repeat(SIZE / 4))),
        ("long path", format!("schema = 1\nsteer = [{{name = \"a\", direction = \"{}\"}}]", "/".repeat(SIZE / 4))),
        ("long key", format!("schema = 1\n{} = 1", "k".repeat(SIZE - 20))),
        ("layers", fill("schema = 1\n[[steer]]\nname = \"a\"\ndirection = \"b\"\nlayers = [", same("-1,")) + "]"),
        ("digits", format!("schema = {}", "1".repeat(SIZE - 20))),
    ];
    for (shape, text) in shapes {
        let start = Instant::now();
        let errors = Profile::parse(&text, "p.toml").expect_err(shape);
        let report = errors.to_string();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{shape}: {took:?}");
        assert!(errors.iter().count() <= MAX_ERRORS && report.len() < 200_000, "{shape}");
        println!("{shape}: {took:?}, {} errors", errors.iter().count() + errors.omitted());
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let text = format!("schema = 1\n{}", (0..250).map(|i| format!("k{i} = 1\n")).collect::<String>());
    let errors = Profile::parse(&text, "p.toml").unwrap_err();
    assert_eq!((errors.iter().count(), errors.omitted()), (100, 150));
    assert!(errors.to_string().ends_with("\n... and 150 more"));
}
