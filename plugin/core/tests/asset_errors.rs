//! One test per way in which a vector file can be wrong, and the boundary beside each cap.

mod support;

use evenkeel_core::asset::{AssetError, Direction, Format, GgufError, MAX_TENSORS, Raw, parse, parse_with};
use safetensors::tensor::Dtype;
use support::gguf::{Gguf, LIST, U32, string};
use support::npy;
use support::safetensors as st;

fn asset_error(bytes: &[u8]) -> AssetError {
    parse(bytes).expect_err("it was accepted")
}

fn gguf_error(gguf: &Gguf) -> GgufError {
    match asset_error(&gguf.build()) {
        AssetError::Gguf(error) => error,
        other => panic!("{other}"),
    }
}

fn vector() -> Gguf {
    Gguf::vector("llama")
}

fn one() -> Gguf {
    vector().direction(1, &[1.0, 2.0])
}

#[test]
fn a_sound_file_is_read() {
    let vectors = parse(&vector().u32("controlvector.layer_count", 9).direction(0, &[0.5]).build()).unwrap();
    assert_eq!((vectors.format, vectors.width, vectors.rows), (Format::Gguf, 1, None));
    assert_eq!(vectors.model_hint.as_deref(), Some("llama"));
    assert_eq!(vectors.layers[&0], [0.5]);
    let many = one().texts("a", &["x", "", "yz"]).raw("b", LIST, &[&4u32.to_le_bytes()[..], &[0; 8]].concat());
    assert_eq!(parse(&many.build()).unwrap().layers[&1], [1.0, 2.0]);
    assert!(parse(&Gguf { version: 2, ..one() }.build()).is_ok());
}

#[test]
fn every_cut_of_a_file_is_an_error() {
    let whole = one().build();
    // The last tensor's data end before the padding does.
    for n in 0..whole.len() - 24 {
        assert!(parse(&whole[..n]).is_err(), "{n} of {}", whole.len());
    }
    let whole = st::file(&[("direction.1", Dtype::F32, &[2], st::f32s(&[1.0, 2.0]))], &[]);
    for n in 0..whole.len() {
        assert!(parse(&whole[..n]).is_err(), "{n} of {}", whole.len());
    }
}

#[test]
fn truncated() {
    let bytes = one().build();
    let (need, have) = (bytes.len() as u64 - 24, bytes.len() as u64 - 32);
    let error = asset_error(&bytes[..bytes.len() - 32]);
    assert_eq!(error, AssetError::Gguf(GgufError::Truncated { need, have }));
}

#[test]
fn version_and_byte_order() {
    assert_eq!(gguf_error(&Gguf { version: 1, ..one() }), GgufError::Version { got: 1 });
    assert_eq!(gguf_error(&Gguf { version: 4, ..one() }), GgufError::Version { got: 4 });
    assert_eq!(gguf_error(&Gguf { version: 3 << 24, ..one() }), GgufError::BigEndian);
}

#[test]
fn counts_that_the_file_cannot_have() {
    let error = gguf_error(&Gguf { n_keys: Some(u64::MAX), ..one() });
    assert!(matches!(error, GgufError::TooMany { what: "metadata keys", got: u64::MAX, .. }));
    assert!(matches!(gguf_error(&Gguf { n_keys: Some(60_000), ..one() }), GgufError::BadName { .. }));
    let error = asset_error(&Gguf { n_tensors: Some(u64::MAX), ..one() }.build());
    assert_eq!(error, AssetError::TooManyTensors { got: u64::MAX, max: MAX_TENSORS });
    let error = gguf_error(&vector().raw("list", LIST, &[&8u32.to_le_bytes()[..], &[0xFF; 8]].concat()));
    assert!(matches!(error, GgufError::Truncated { .. }), "{error}");
    let error = gguf_error(&vector().raw("list", LIST, &[&12u32.to_le_bytes()[..], &[0xFF; 8]].concat()));
    assert!(matches!(error, GgufError::Truncated { need: u64::MAX, .. }), "{error}");
}

#[test]
fn names_and_value_types() {
    assert!(matches!(gguf_error(&vector().raw([], U32, &[0; 4])), GgufError::BadName { .. }));
    assert!(matches!(gguf_error(&vector().raw([0xFF], U32, &[0; 4])), GgufError::BadName { .. }));
    assert!(matches!(gguf_error(&vector().u32("a\x1b[31m", 1)), GgufError::BadName { .. }));
    let long = "k".repeat(65_536);
    assert!(matches!(gguf_error(&vector().u32(&long, 1)), GgufError::BadName { .. }));
    assert!(parse(&one().u32(&long[1..], 1).build()).is_ok());
    assert_eq!(gguf_error(&vector().raw("k", 13, &[])), GgufError::ValueType { key: "k".into(), got: 13 });
    let lists = [&LIST.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    assert_eq!(gguf_error(&vector().raw("k", LIST, &lists)), GgufError::ValueType { key: "k".into(), got: LIST });
}

#[test]
fn twice() {
    let key = "controlvector.model_hint".to_owned();
    assert_eq!(gguf_error(&vector().text(&key, "qwen3")), GgufError::DuplicateKey { key });
    let error = gguf_error(&one().direction(1, &[1.0, 2.0]));
    assert_eq!(error, GgufError::DuplicateTensor { name: "direction.1".into() });
}

#[test]
fn values_of_the_wrong_type() {
    let error = gguf_error(&Gguf::new().u32("general.architecture", 1));
    assert!(matches!(error, GgufError::Value { key: "general.architecture", .. }));
    let error = gguf_error(&Gguf::new().raw("general.architecture", 8, &string(&[0xFF])));
    assert!(matches!(error, GgufError::Value { .. }));
    for n in [0, 3, 1 << 21] {
        let error = gguf_error(&one().u32("general.alignment", n));
        assert!(matches!(error, GgufError::Value { key: "general.alignment", .. }));
    }
}

#[test]
fn dimensions_offsets_and_shapes() {
    let name = || "direction.1".to_owned();
    assert_eq!(
        gguf_error(&vector().tensor("direction.1", &[], 0, &[])),
        GgufError::Dimensions { name: name(), got: 0 }
    );
    let error = gguf_error(&vector().tensor("direction.1", &[1; 5], 0, &[0; 4]));
    assert_eq!(error, GgufError::Dimensions { name: name(), got: 5 });
    for offset in [4, 32, u64::MAX] {
        let error = gguf_error(&Gguf { offset: Some(offset), ..one() });
        assert_eq!(error, GgufError::Offset { name: name(), got: offset, expected: 0 });
    }
    let error = gguf_error(&vector().tensor("direction.1", &[u64::MAX], 0, &[0; 64]));
    assert!(matches!(error, GgufError::Truncated { .. }));
    for shape in [&[1, 2][..], &[2, 0], &[1, 1, 1, 2]] {
        let error = asset_error(&vector().tensor("direction.1", shape, 0, &[0; 32]).build());
        assert!(matches!(error, AssetError::TensorShape { .. }), "{error}");
    }
    assert!(parse(&vector().tensor("direction.1", &[2, 1, 1], 0, &[0; 32]).build()).is_ok());
    let error = asset_error(&vector().direction(1, &[]).build());
    assert!(matches!(error, AssetError::TensorShape { .. }), "{error}");
    let error = asset_error(&vector().direction(1, &vec![0.0; (1 << 20) + 1]).build());
    assert!(matches!(error, AssetError::TensorShape { .. }), "{error}");
    assert!(parse(&vector().direction(1, &vec![0.0; 1 << 20]).build()).is_ok());
}

#[test]
fn not_a_vector() {
    let got = "llama".to_owned();
    assert_eq!(asset_error(&Gguf::model("llama", 8, 6).build()), AssetError::NotAVector { got });
    assert_eq!(asset_error(&Gguf::new().build()), AssetError::NotAVector { got: String::new() });
}

#[test]
fn tensor_names() {
    for name in [
        "blk.0.attn_q.weight",
        "direction",
        "direction.",
        "direction.-1",
        "direction.+1",
        "direction.01",
        "direction.1.x",
        "direction.99999999999",
        "Direction.1",
    ] {
        let error = asset_error(&vector().tensor(name, &[1], 0, &[0; 4]).build());
        assert!(matches!(error, AssetError::TensorName { .. }), "{name}: {error}");
    }
    let error = asset_error(&st::file(&[("weight", Dtype::F32, &[1], st::f32s(&[1.0]))], &[]));
    assert!(matches!(error, AssetError::TensorName { .. }), "{error}");
}

#[test]
fn element_types() {
    let error = asset_error(&vector().tensor("direction.1", &[2], 1, &[0; 4]).build());
    assert!(matches!(&error, AssetError::TensorType { got, .. } if got == "F16"), "{error}");
    let error = asset_error(&st::file(&[("direction.1", Dtype::I32, &[1], vec![0; 4])], &[]));
    assert!(matches!(&error, AssetError::TensorType { got, .. } if got == "I32"), "{error}");
}

#[test]
fn widths_differ() {
    let error = asset_error(&one().direction(2, &[1.0; 3]).build());
    assert!(matches!(error, AssetError::Width { got: 3, first: 2, .. }), "{error}");
}

#[test]
fn too_many_tensors() {
    let many = |n| (0..n).fold(vector(), |g, layer| g.direction(layer, &[1.0])).build();
    assert_eq!(parse(&many(1024)).unwrap().layers.len(), 1024);
    assert_eq!(asset_error(&many(1025)), AssetError::TooManyTensors { got: 1025, max: 1024 });
    let shape: &[usize] = &[1025, 1];
    let error = asset_error(&st::file(&[("direction", Dtype::F32, shape, vec![0; 4100])], &[]));
    assert!(matches!(error, AssetError::TensorShape { .. }), "{error}");
    let names: Vec<_> = (0..1025).map(|n| format!("direction.{n}")).collect();
    let tensors: Vec<_> = names.iter().map(|n| (n.as_str(), Dtype::F32, &[1usize][..], vec![0; 4])).collect();
    assert_eq!(asset_error(&st::file(&tensors, &[])), AssetError::TooManyTensors { got: 1025, max: 1024 });
}

#[test]
fn no_direction() {
    let none = AssetError::NoDirection { allowed: "direction.N" };
    assert_eq!(asset_error(&vector().build()), none);
    assert_eq!(asset_error(&st::file(&[], &[])), none);
    assert_eq!(asset_error(&st::file(&[("direction", Dtype::F32, &[0, 4], vec![])], &[])), none);
}

#[test]
fn values_and_norms() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = asset_error(&vector().direction(3, &[0.0, bad]).build());
        assert!(matches!(error, AssetError::NotFinite { index: 1, .. }), "{error}");
    }
    let error = asset_error(&st::file(&[("direction.1", Dtype::F16, &[1], vec![0, 0x7C])], &[]));
    assert!(matches!(error, AssetError::NotFinite { index: 0, got: f32::INFINITY, .. }), "{error}");
    assert!(parse(&vector().direction(1, &[1e6, 0.0]).build()).is_ok());
    for bad in [[1e6, 1e4], [f32::MAX, f32::MAX]] {
        let error = asset_error(&vector().direction(1, &bad).build());
        assert!(matches!(error, AssetError::Norm { .. }), "{error}");
    }
}

#[test]
fn what_a_file_says_is_there_for_the_plan() {
    let tensors = [("direction.1", Dtype::F32, &[1usize][..], st::f32s(&[1.0]))];
    let said = parse(&st::file(&tensors, &[("evenkeel.site", "ffn-out"), ("evenkeel.operator", "add")])).unwrap();
    assert_eq!((said.site.as_deref(), said.operator.as_deref()), (Some("ffn-out"), Some("add")));
    let file = one().text("evenkeel.operator", "project").text("evenkeel.site", "attn-out").build();
    let said = parse(&file).unwrap();
    assert_eq!((said.site.as_deref(), said.operator.as_deref()), (Some("attn-out"), Some("project")));
}

#[test]
fn safetensors_headers() {
    let bad = |header: &str, data: &[u8]| {
        let error = asset_error(&st::raw(header, data));
        assert!(matches!(error, AssetError::SafeTensors { .. }), "{error}");
    };
    let tensor = |shape: &str, begin: u64, end: u64| {
        format!("{{\"direction.1\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}}}")
    };
    bad("{", &[]);
    bad("{]", &[]);
    bad(&tensor("[1]", 0, 4), &[0; 3]);
    bad(&tensor("[1]", 0, 4), &[0; 5]);
    bad(&tensor("[1]", 4, 8), &[0; 8]);
    bad(&tensor("[2]", 0, 4), &[0; 4]);
    bad(&tensor("[4611686018427387904, 4]", 0, 4), &[0; 4]);
    bad(&tensor("[1]", u64::MAX, 3), &[0; 4]);
    assert!(parse(&st::raw(&tensor("[1]", 0, 4), &[0; 4])).is_ok());
    let long = [&(2u64 << 20).to_le_bytes()[..], b"{}"].concat();
    assert!(matches!(asset_error(&long), AssetError::SafeTensors { .. }));
    let long = [&100u64.to_le_bytes()[..], b"{}"].concat();
    assert!(matches!(asset_error(&long), AssetError::SafeTensors { .. }));
}

/// Sizes whose sum, with the header's length, passes 2^64: checked sums must not be assumed of the parser.
#[test]
fn safetensors_sizes_near_the_end_of_the_address_space() {
    let each = 1u64 << 61;
    let tensor = |i: u64, size: u64| {
        let (begin, end) = (i * each, i * each + size);
        format!("\"direction.{i}\":{{\"dtype\":\"U8\",\"shape\":[{size}],\"data_offsets\":[{begin},{end}]}}")
    };
    for last in [each - 1, each - 300, each - 900, 7] {
        let list: Vec<_> = (0..8).map(|i| tensor(i, if i == 7 { last } else { each })).collect();
        let error = asset_error(&st::raw(&format!("{{{}}}", list.join(",")), &[0; 16]));
        assert!(matches!(error, AssetError::SafeTensors { .. }), "{error}");
    }
}

/// A file's own words appear in messages; they must not reach a terminal as commands or break a line.
#[test]
fn messages_are_one_printable_line() {
    let header = "{\"\\u001b[31m\\n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let dtype = "{\"direction.1\":{\"dtype\":\"\\u001b\\n\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let hint = Gguf::new().text("general.architecture", "\x1b[31m\n").build();
    for bytes in [st::raw(header, &[0; 4]), st::raw(dtype, &[0; 4]), hint] {
        let message = asset_error(&bytes).to_string();
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

#[test]
fn unknown_formats() {
    for bytes in [&b""[..], b"GGU", b"PK\x03\x04", b"\x80\x04", b"hello, world", &[0; 100]] {
        assert!(matches!(asset_error(bytes), AssetError::UnknownFormat { .. }), "{bytes:?}");
    }
}

#[test]
fn what_was_read_is_what_sha256sum_sees() {
    let folder = support::folder::Folder::new();
    let direction = Direction::read(&folder.write("v.gguf", one().build()), &Raw::default()).unwrap();
    assert_eq!(direction.bytes, one().build().len() as u64);
    assert_eq!(direction.sha256.len(), 64);
}

#[test]
fn numpy_files() {
    let npy_error = |header: &str, data: &[u8]| asset_error(&npy::raw(header, data));
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    assert_eq!(parse(&npy::raw(header, &st::f32s(&[1.0, 2.0]))).unwrap().layers[&0], [1.0, 2.0]);
    assert!(matches!(npy_error(header, &[0; 4]), AssetError::Npy { .. }));
    assert!(matches!(npy_error("", &[]), AssetError::Npy { .. }));
    assert!(matches!(npy_error(&header.replace("<f4", "|O"), &[0; 8]), AssetError::TensorType { .. }));
    assert!(matches!(npy_error(&header.replace("(1, 2)", "()"), &[0; 8]), AssetError::TensorShape { .. }));
    assert!(matches!(npy_error(&header.replace("(1, 2)", "(0, 2)"), &[]), AssetError::NoDirection { .. }));
    assert!(matches!(npy_error(&header.replace("(1, 2)", "(1, 0)"), &[]), AssetError::NoDirection { .. }));
    assert!(matches!(npy_error(header, &st::f32s(&[0.0, f32::NAN])), AssetError::NotFinite { .. }));
    let many = header.replace("(1, 2)", "(1025, 1)");
    assert!(matches!(npy_error(&many, &[0; 4100]), AssetError::TooManyTensors { got: 1025, max: 1024 }));
    let one = npy::file("(2,)", &[1.0, 2.0]);
    assert_eq!(asset_error(&one), AssetError::RowsUnknown { format: Format::Npy });
    for n in 0..one.len() {
        assert!(parse(&one[..n]).is_err(), "{n}");
    }
}

#[test]
fn files_whose_shape_the_profile_says() {
    let data = st::f32s(&[1.0, 2.0, 3.0, 4.0]);
    let raw = |shape, rows: &[u32]| Raw { shape: Some(shape), rows: Some(rows.to_vec()) };
    let vectors = parse_with(&data, &raw((2, 2), &[7, 3])).unwrap();
    assert_eq!(
        (vectors.format, &vectors.layers[&7], &vectors.layers[&3]),
        (Format::Raw, &vec![1.0, 2.0], &vec![3.0, 4.0])
    );
    let error = |raw: &Raw| parse_with(&data, raw).expect_err("it was accepted");
    assert_eq!(error(&raw((2, 3), &[7, 3])), AssetError::Headerless { got: 16, need: 24, shape: [2, 3] });
    let huge = AssetError::Headerless { got: 16, need: u64::MAX, shape: [u32::MAX, u32::MAX] };
    assert_eq!(error(&raw((u32::MAX, u32::MAX), &[])), huge);
    assert_eq!(error(&raw((2, 2), &[7])), AssetError::RowCount { got: 1, rows: 2 });
    assert_eq!(error(&Raw { rows: None, ..raw((2, 2), &[]) }), AssetError::RowsUnknown { format: Format::Raw });
    let error = parse_with(&one().build(), &raw((1, 2), &[1])).expect_err("it was accepted");
    assert_eq!(error, AssetError::SaysItself { key: "shape", format: Format::Gguf });
    let error = parse_with(&npy::file("(1, 2)", &[1.0, 2.0]), &raw((2, 1), &[1])).expect_err("it was accepted");
    assert_eq!(error, AssetError::OtherShape { got: vec![1, 2], typed: [2, 1] });
    let error = parse_with(&st::f32s(&[0.0, f32::INFINITY]), &raw((1, 2), &[1])).expect_err("it was accepted");
    assert!(matches!(error, AssetError::NotFinite { .. }), "{error}");
}
