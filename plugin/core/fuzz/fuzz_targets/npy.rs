//! The header and data of a NumPy array. What stands before the header is written here, since a fuzzer would spend its time
//! on it; the last byte of the input makes the length wrong now and then.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = bytes.iter().position(|b| *b == b'}').map_or(bytes.len(), |i| i + 1);
    let slip = u16::from(bytes.last().is_some_and(|b| *b == 0x7F));
    let len = (header as u16).wrapping_add(slip).to_le_bytes();
    evenkeel_fuzz::vector(&[b"\x93NUMPY\x01\x00", &len[..], bytes].concat());
    evenkeel_fuzz::vector(bytes);
});
