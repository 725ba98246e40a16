//! The demo's profile: what it does to the bias, and what random directions in its place do.

use std::fs;
use std::path::Path;

use evenkeel_model::ControlVector;
use evenkeel_tests::Scratch;
use toml::Table;

use super::Report;
use super::effects::{EFFECTS, measured};
use super::items::{Item, sandbox};
use super::lab::{Asked, ask, model, plain, under};
use super::stats::{Figure, Sample};

/// Random directions that are tried in the place of the demo's.
const CONTROLS: u64 = 5;

/// The slope over occupations, on the items that chose nothing.
pub(super) fn slope<'a>(asked: impl IntoIterator<Item = &'a Asked>) -> Sample {
    EFFECTS[0].sample(asked.into_iter().filter(|a| a.item.report))
}

/// A random vector of length 1 on each layer, as the demo's is.
fn random(width: usize, layers: usize, seed: u64, path: &Path) {
    let mut vector = ControlVector::random("llama", width as u32, 1..layers as u32, seed);
    for direction in vector.directions.values_mut() {
        let length = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|x| *x /= length);
    }
    vector.write(path).expect("a vector is written");
}

#[test]
fn the_demo_takes_its_bias_out_and_random_directions_do_not() {
    let (twin, before) = (slope(plain("twin")), slope(plain("first")));
    let dose = EFFECTS[0].dose("first");

    let demo: Table = fs::read_to_string(sandbox("demo.toml")).expect("demo.toml").parse().expect("TOML");
    let text = |key: &str| demo[key].as_str().unwrap_or_else(|| panic!("demo.toml: no {key}"));
    let (scratch, direction) = (Scratch::new(), "models/gender.gguf");
    assert!(text("profile").contains(direction), "the demo's profile has another direction");
    fs::create_dir(scratch.path("models")).expect("a folder");
    fs::copy(sandbox(direction), scratch.path(direction)).expect("the demo's direction");
    let profile = |name: &str, direction_here: &str| {
        let path = scratch.path(name);
        fs::write(&path, text("profile").replace(direction, direction_here)).expect("a profile is written");
        path
    };

    let model = model(text("model"));
    let items: Vec<Item> = Item::all().into_iter().filter(|item| item.kind == "pronoun" && item.report).collect();
    let steered = |profile: &Path| slope(&under(profile, || ask(&model, items.clone())));

    let mut report = Report::default();
    let path = ["vectors", "first-f16", "centre", EFFECTS[0].measured[1]];
    let (after, recorded) = (steered(&profile("demo.toml", direction)), measured(&path, 0.0));
    let (found, apart) = (after.interval(Figure::Slope, 0.0), after.difference(&twin, Figure::Slope));
    report.say(format!("slope of P(she), n={}, planted {dose:+.2}", after.n()));
    report.say(format!("  twin      {}", twin.interval(Figure::Slope, 0.0)));
    report.say(format!(
        "  first     {}  from the twin {}",
        before.interval(Figure::Slope, 0.0),
        before.difference(&twin, Figure::Slope)
    ));
    report.say(format!("  the demo  {found}  from the twin {apart}  measured.json {recorded}"));
    report.expect(apart.is_absent(dose), || format!("the demo: {apart} from the twin, planted {dose:+.2}"));
    report.agrees(&found, &recorded, "the demo");

    for seed in 1..=CONTROLS {
        let name = format!("models/random-{seed}.gguf");
        random(model.n_embd(), model.n_layer(), seed, &scratch.path(&name));
        let control = steered(&profile(&format!("random-{seed}.toml"), &name));
        let apart = control.difference(&twin, Figure::Slope);
        report.say(format!("  random {seed}  {}  from the twin {apart}", control.interval(Figure::Slope, 0.0)));
        // The opposite of equivalent: wholly outside the margin, on the side of the bias.
        report.expect(apart.low > dose / 4.0, || format!("random direction {seed}: {apart} from the twin"));
    }
    report.end();
}
