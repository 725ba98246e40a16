//! Rules at every site of a real host's graph, against references in float64; and that a site is what its name says, by
//! what the host makes of it.

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{along, clamp, dot, project, wide};

const LAST: u32 = TINY_LAYERS - 1;

/// What the rules of [`rules`] do to a row.
fn reference(x: &mut [f64], v: &[f64], w: &[f64]) {
    project(x, v, 0.75);
    along(x, w, 0.25);
    clamp(x, v, -0.01, 0.01);
}

/// Three rules at a site, on layers 1, 3 and the last, or on the last only.
fn rules(site: &str) -> Profile {
    let layers = if site == "final-norm" { "\"all\"".to_owned() } else { format!("[1, 3, {LAST}]") };
    let site = format!("site = \"{site}\"");
    Profile::empty()
        .and_rule_on(&layers, "v.gguf", &format!("operator = \"project\"\nfraction = 0.75\n{site}"))
        .and_rule_on(&layers, "w.gguf", &format!("strength = 0.25\nadjustable = true\n{site}"))
        .and_rule_on(&layers, "v.gguf", &format!("operator = \"clamp\"\nmin = -0.01\nmax = 0.01\n{site}"))
}

struct Bench {
    scratch: Scratch,
    decode: Decode,
    v: ControlVector,
    w: ControlVector,
}

fn bench(arch: Arch) -> Bench {
    let scratch = Scratch::new();
    let model = scratch.model(arch, FileType::F32);
    let v = scratch.vector(arch);
    let w = ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, 9);
    w.write(&scratch.path("w.gguf")).expect("a vector is written");
    // Two sequences and micro-batches of 5, some of which have no output row.
    let decode = Decode { sequences: 2, ubatch: 5, last_only: true, capture: true, ..Decode::new(&model) };
    Bench { scratch, decode, v, w }
}

impl Bench {
    fn run(&self, host: &CHost, profile: &Profile) -> Recording {
        host.with(&self.decode, Door::Preload, &self.scratch.profile(profile))
    }
}

/// All rows of what was captured under a name, in the order of the batches.
fn column(recording: &Recording, name: &str) -> Vec<Vec<f64>> {
    let found = recording.captures.iter().filter(|c| c.name == name).flat_map(|c| &c.rows);
    found.map(|row| wide(row)).collect()
}

#[test]
fn rules_at_every_site_are_their_formulas() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let often = matches!(arch, Arch::Llama | Arch::Gemma2 | Arch::Qwen2Moe);
        for flash in [false, true].into_iter().filter(|flash| often || !flash) {
            let bench = bench(arch);
            let bench = Bench { decode: Decode { flash, ..bench.decode }, ..bench };
            for (site, node) in [("attn-out", "attn_out-"), ("ffn-out", "ffn_out-"), ("final-norm", "result_norm")] {
                let recording = bench.run(&host, &rules(site));
                let layers: &[u32] = if site == "final-norm" { &[LAST] } else { &[1, 3, LAST] };
                for layer in layers {
                    let name = if site == "final-norm" { node.to_owned() } else { format!("{node}{layer}") };
                    let what = format!("{arch:?}, flash attention {flash}, {name}");
                    let (v, w) = (wide(&bench.v.directions[layer]), wide(&bench.w.directions[layer]));
                    check(&recording, &name, *layer, |x| reference(x, &v, &w), &what);
                }
            }
        }
    }
}

fn check(recording: &Recording, name: &str, layer: u32, formula: impl Fn(&mut [f64]), what: &str) {
    let (before, after) = (column(recording, &format!("ek.{name}")), column(recording, name));
    let outputs = recording.rows.len();
    let all = column(recording, "l_out-0").len();
    // In the last layer only the output rows are left when something is added to the stream.
    let rows = if layer == LAST { outputs } else { all };
    assert!(outputs < all && all > 50, "{what}: {outputs} of {all} rows have an output");
    assert_eq!((before.len(), after.len()), (rows, rows), "{what}: rows");
    let (mut error, mut power, mut changed) = (0.0, 0.0, 0.0);
    for (x, got) in before.iter().zip(&after) {
        let mut expected = x.clone();
        formula(&mut expected);
        for ((x, expected), got) in x.iter().zip(&expected).zip(got) {
            error += (expected - got).powi(2);
            changed += (expected - x).powi(2);
            power += expected * expected;
        }
    }
    assert!(error <= 1e-10 * power, "{what}: NMSE {:e}", error / power);
    assert!(changed > 1e-4 * power, "{what}: nothing changed");
}

/// What attention and the feed-forward network add is all that a layer adds: the stream after a layer is the stream before
/// it and the two. And where the host names the stream between them, it is the stream before and what attention adds.
#[test]
fn a_block_adds_what_its_two_sites_hold() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let bench = bench(arch);
        let decode = Decode { last_only: false, ..bench.decode.clone() };
        let rule = |profile: Profile, site: &str| {
            let keys = format!("operator = \"project\"\nfraction = 0.5\nsite = \"{site}\"");
            profile.and_rule_on("[1, 2, 3, 4]", "v.gguf", &keys)
        };
        let profile = rule(rule(Profile::empty(), "attn-out"), "ffn-out");
        let recording = host.with(&decode, Door::Preload, &bench.scratch.profile(&profile));
        for layer in 1..TINY_LAYERS {
            let at = |name: &str, layer: u32| column(&recording, &format!("{name}-{layer}"));
            let (input, attn, ffn, output) =
                (at("l_out", layer - 1), at("attn_out", layer), at("ffn_out", layer), at("l_out", layer));
            assert!(input.len() > 50 && input.len() == attn.len() && attn.len() == ffn.len());
            let between = match arch {
                Arch::Phi3 => None,
                Arch::Gemma2 => Some(at("sa_out", layer)),
                _ => Some(at("ffn_inp", layer)),
            };
            for (row, input) in input.iter().enumerate() {
                let mut sum = input.clone();
                let mut gains = |gain: &[f64], stream: Option<&Vec<f64>>| {
                    along(&mut sum, gain, 1.0);
                    let Some(stream) = stream else { return };
                    let mut gap = sum.clone();
                    along(&mut gap, stream, -1.0);
                    assert!(dot(&gap, &gap) <= 1e-10 * dot(stream, stream), "{arch:?}, layer {layer}");
                };
                gains(&attn[row], between.as_ref().map(|stream| &stream[row]));
                gains(&ffn[row], Some(&output[row]));
                assert!(dot(&attn[row], &attn[row]) > 0.0 && dot(&ffn[row], &ffn[row]) > 0.0);
            }
        }
    }
}

/// A control vector of the host's own, and rules beside it.
#[test]
fn sites_are_found_beside_a_control_vector() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let bench = bench(arch);
        let native = evenkeel_tests::host::Native { file: bench.scratch.path("w.gguf"), strength: 0.5, layers: None };
        let decode = Decode { native: Some(native), ..bench.decode.clone() };
        let rule = |site: &str| {
            let keys = format!("operator = \"project\"\nsite = \"{site}\"");
            Profile::empty().and_rule_on("[1, 3, 4]", "v.gguf", &keys)
        };
        for (site, node) in [("attn-out", "attn_out"), ("ffn-out", "ffn_out")] {
            let recording = host.with(&decode, Door::Preload, &bench.scratch.profile(&rule(site)));
            for layer in [1, 3, LAST] {
                let v = wide(&bench.v.directions[&layer]);
                let name = format!("{node}-{layer}");
                check(&recording, &name, layer, |x| project(x, &v, 1.0), &format!("{arch:?}, {name}"));
            }
        }
    }
}

/// Sites in one plan keep their order, and strength 0 in the graph changes no bit.
#[test]
fn strength_zero_at_every_site_changes_no_bit() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe, Arch::Phi3] {
        let bench = bench(arch);
        let decode = Decode { capture: false, ..bench.decode.clone() };
        let sites = ["attn-out", "ffn-out", "residual", "final-norm"];
        let with = |strength: &str| {
            let rule = |profile: Profile, site: &&str| {
                let layers = if *site == "final-norm" { "\"all\"" } else { "[1, 4]" };
                profile.and_rule_on(layers, "v.gguf", &format!("{strength}\nadjustable = true\nsite = \"{site}\""))
            };
            let profile = sites.iter().fold(Profile::empty(), rule);
            host.with(&decode, Door::Preload, &bench.scratch.profile(&profile))
        };
        let plain = host.plain(&decode);
        plain.assert_same(&with("strength = 0.0"), &format!("{arch:?}: strength 0"));
        plain.assert_all_differ(&with("strength = 1.0"), &format!("{arch:?}: strength 1"));
    }
}
