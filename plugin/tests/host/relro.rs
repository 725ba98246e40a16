//! A host whose call slots share their page with its variables: the loader leaves such a page writable, and so must we.

use std::{fs, path::Path};

use object::{Object as _, ObjectSection as _};

use super::support::*;

/// Turns the note header of a shared library into a `PT_GNU_RELRO` that covers its `.got`, and nothing else.
fn cover_got(library: &Path, edited: &Path) {
    let mut bytes = fs::read(library).expect("the host can be read");
    let (address, size) = {
        let file = object::File::parse(&*bytes).expect("the host is an object file");
        let got = file.section_by_name(".got").expect("the host has call slots");
        (got.address(), got.size())
    };
    let number = |at: usize, n: usize| bytes[at..at + n].iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let (headers, count) = (number(32, 8), number(56, 2));
    let note = (0..count).map(|i| headers + 56 * i).find(|at| number(*at, 4) == 4).expect("the host has a note");
    bytes[note..note + 4].copy_from_slice(&0x6474_e552u32.to_le_bytes());
    for (field, value) in [(16, address), (24, address), (32, size), (40, size)] {
        bytes[note + field..note + field + 8].copy_from_slice(&value.to_le_bytes());
    }
    fs::write(edited, bytes).expect("a new folder can be written");
}

#[test]
fn a_page_that_is_read_only_in_part_stays_writable() {
    let folder = tempfile::tempdir().expect("a folder for a host");
    let edited = folder.path().join("libnull.so");
    cover_got(&host(&["-Wl,-z,norelro", "-Wl,-z,now"]), &edited);
    let profile = Profile::with(CONSTANT);
    // The driver writes the host's variables after the installation.
    let ran =
        Driver::new(Door::Install, "steer").env("NULL_HOST", &edited).env("EVENKEEL_PROFILE", profile.path()).run();
    assert_eq!(ran.logits(), [3, 1, 1, 2].map(|n| steered(n, 1, 1.0)), "{ran}");
}
