//! Laws that plans obey, on random vectors: v at 20 is 20·v is −(v at −20); v − v is nothing; and the sums are
//! llama.cpp's, bit for bit.

mod support;

use evenkeel_core::load::load;
use evenkeel_core::model::ModelFacts;
use evenkeel_core::plan::{Plan, Term};
use support::folder::Folder;
use support::gguf::Gguf;

const LAYERS: u32 = 7;
const WIDTH: usize = 33;

/// A generator of numbers that look random: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Between -4 and 4, with all 24 bits of an F32.
    fn float(&mut self) -> f32 {
        ((self.next() >> 40) as f32 / 16_777_216.0 - 0.5) * 8.0
    }

    fn vectors(&mut self) -> Vec<Vec<f32>> {
        (0..LAYERS - 1).map(|_| (0..WIDTH).map(|_| self.float()).collect()).collect()
    }
}

fn file(vectors: &[Vec<f32>], scale: f32) -> Vec<u8> {
    let start = Gguf::vector("llama");
    let scaled = |v: &[f32]| v.iter().map(|x| x * scale).collect::<Vec<_>>();
    (1..).zip(vectors).fold(start, |g, (layer, v)| g.direction(layer, &scaled(v))).build()
}

/// Plans a profile with these (file, strength) rules.
fn plan(folder: &Folder, rules: &[(&str, f32)]) -> Plan {
    let mut text = "schema = 1\n".to_owned();
    for (i, (file, strength)) in rules.iter().enumerate() {
        text += &format!("[[steer]]\nname = \"r{i}\"\ndirection = \"{file}\"\nstrength = {strength:?}\n");
    }
    let loaded = load(&folder.write("p.toml", text)).unwrap_or_else(|e| panic!("{e}"));
    let model = ModelFacts { arch: "llama".into(), n_embd: WIDTH as u32, n_layer: LAYERS, n_head: None, name: None };
    loaded.plan(&model).unwrap_or_else(|e| panic!("{e}"))
}

/// The sum per layer, as bits.
fn bits(plan: &Plan) -> Vec<(u32, Vec<u32>)> {
    let vector = |term: &Term| match term {
        Term::AddConst { vector, .. } => vector.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    plan.sites.iter().map(|site| (site.layer, site.terms.iter().flat_map(vector).collect())).collect()
}

#[test]
fn a_strength_is_a_factor() {
    let (folder, mut random) = (Folder::new(), Random(7));
    for _ in 0..20 {
        let vectors = random.vectors();
        let strength = random.float() * 10.0;
        folder.write("v.gguf", file(&vectors, 1.0));
        folder.write("scaled.gguf", file(&vectors, strength));
        folder.write("minus.gguf", file(&vectors, -1.0));
        let at = plan(&folder, &[("v.gguf", strength)]);
        for other in [("scaled.gguf", 1.0), ("minus.gguf", -strength), ("scaled.gguf", 1.0)] {
            let other = plan(&folder, &[other]);
            assert_eq!(bits(&at), bits(&other));
            assert_eq!(at.hash(), other.hash());
        }
    }
}

#[test]
fn opposites_are_nothing() {
    let (folder, mut random) = (Folder::new(), Random(11));
    folder.write("w.gguf", file(&random.vectors(), 1.0));
    let empty = plan(&folder, &[]);
    assert!(empty.is_empty());
    for _ in 0..20 {
        let vectors = random.vectors();
        let strength = random.float();
        folder.write("v.gguf", file(&vectors, 1.0));
        folder.write("minus.gguf", file(&vectors, -1.0));
        for rules in [
            &[("v.gguf", strength), ("v.gguf", -strength)][..],
            &[("v.gguf", strength), ("minus.gguf", strength)],
            &[("v.gguf", 0.0), ("w.gguf", -0.0)],
            &[("v.gguf", strength), ("w.gguf", 0.0), ("v.gguf", -strength)],
        ] {
            let plan = plan(&folder, rules);
            assert!(plan.is_empty(), "{plan}");
            assert!(plan.rules.iter().all(|r| r.dropped.is_some() && r.layers.is_empty()));
            assert_eq!(plan.hash(), empty.hash());
        }
    }
}

/// llama.cpp sums per file from zero, and the files in order: `((0 + a·s) + b·t) + …`, each step rounded to F32.
#[test]
fn sums_are_those_of_llama_cpp() {
    let (folder, mut random) = (Folder::new(), Random(13));
    for _ in 0..20 {
        let files: Vec<_> = (0..4).map(|_| (random.vectors(), random.float())).collect();
        let names: Vec<_> = (0..4).map(|i| format!("{i}.gguf")).collect();
        for (name, (vectors, _)) in names.iter().zip(&files) {
            folder.write(name, file(vectors, 1.0));
        }
        let rules: Vec<_> = names.iter().zip(&files).map(|(n, (_, s))| (n.as_str(), *s)).collect();
        let expected = |layer: usize| -> Vec<u32> {
            let sum = |j| files.iter().fold(0.0f32, |sum, (v, s)| sum + (0.0 + v[layer][j] * s));
            (0..WIDTH).map(|j| sum(j).to_bits()).collect()
        };
        let expected: Vec<_> = (0..LAYERS - 1).map(|l| (l + 1, expected(l as usize))).collect();
        assert_eq!(bits(&plan(&folder, &rules)), expected);
    }
}

#[test]
fn the_hash_follows_what_is_done_and_not_names() {
    let (folder, mut random) = (Folder::new(), Random(17));
    folder.write("v.gguf", file(&random.vectors(), 1.0));
    folder.write("w.gguf", file(&random.vectors(), 1.0));
    let plan = |rules: &[(&str, f32)]| plan(&folder, rules);
    let base = plan(&[("v.gguf", 1.0)]);
    assert_eq!(base.hash(), plan(&[("v.gguf", 1.0)]).hash());
    let renamed = Plan { profile: "other".into(), ..base.clone() };
    assert_eq!(base.hash(), renamed.hash());
    let model = ModelFacts { name: Some("other".into()), ..base.model.clone() };
    assert_eq!(base.hash(), Plan { model, ..base.clone() }.hash());
    let model = ModelFacts { n_layer: 8, ..base.model.clone() };
    for other in [
        plan(&[("v.gguf", 1.5)]),
        plan(&[("w.gguf", 1.0)]),
        plan(&[("v.gguf", 1.0), ("w.gguf", 1.0)]),
        plan(&[]),
        Plan { model, ..base.clone() },
    ] {
        assert_ne!(base.hash(), other.hash());
    }
    assert_eq!(base.hash().to_string().len(), 64);
}
