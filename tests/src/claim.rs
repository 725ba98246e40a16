//! What must hold on every host.

use crate::host::{CHost, Decode, Native};
use crate::{Door, Profile, Scratch, Setting};

/// Profiles that must leave every logit as it is.
pub fn nothing() -> [(&'static str, Profile); 3] {
    [
        ("an empty profile", Profile::empty()),
        ("strength 0", Profile::add("v.gguf", 0.0)),
        ("v and -v", Profile::add("v.gguf", 2.0).and_add("minus-v.gguf", 2.0, "\"all\"")),
    ]
}

/// What steers nothing changes no bit and no node: the library alone, and each of [`nothing`].
///
/// # Panics
/// When it does.
#[track_caller]
pub fn changes_nothing(host: &CHost, scratch: &Scratch, decode: &Decode, what: &str) {
    changes_nothing_through(Door::Preload, host, scratch, decode, what);
}

/// The same through any door.
///
/// # Panics
/// When it does.
#[track_caller]
pub fn changes_nothing_through(door: Door, host: &CHost, scratch: &Scratch, decode: &Decode, what: &str) {
    let plain = host.plain(decode);
    let library = host.with(decode, door, &Setting::new());
    plain.assert_same(&library, &format!("{what}: no profile"));
    for (name, profile) in nothing() {
        let steered = host.with(decode, door, &scratch.profile(&profile));
        plain.assert_same(&steered, &format!("{what}: {name}"));
        assert_eq!(plain.nodes, steered.nodes, "{what}: {name}: number of nodes");
    }
}

/// `add` of `v.gguf` is llama.cpp's own control vector, bit for bit, and both change every row.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn is_native(
    host: &CHost,
    scratch: &Scratch,
    decode: &Decode,
    layers: Option<(u32, u32)>,
    strength: f32,
    what: &str,
) {
    is_native_through(Door::Preload, host, scratch, decode, layers, strength, what);
}

/// The same through any door.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn is_native_through(
    door: Door,
    host: &CHost,
    scratch: &Scratch,
    decode: &Decode,
    layers: Option<(u32, u32)>,
    strength: f32,
    what: &str,
) {
    let native = Native { file: scratch.path("v.gguf"), strength, layers };
    let native = host.plain(&Decode { native: Some(native), ..decode.clone() });
    host.plain(decode).assert_all_differ(&native, what);
    let range = layers.map_or("\"all\"".to_owned(), |(first, last)| format!("\"{first}..{last}\""));
    let profile = Profile::empty().and_add("v.gguf", strength, &range);
    let steered = host.with(decode, door, &scratch.profile(&profile));
    native.assert_same(&steered, &format!("{what}: the control vector and add"));
}
