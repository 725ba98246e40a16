//! The header and data of a calibration, and of a prior that is to go on. The length before the header is written here, as for
//! vector files; the last byte of the input makes it wrong now and then.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = bytes.iter().rposition(|b| *b == b'}').map_or(bytes.len(), |i| i + 1);
    let slip = u64::from(bytes.last().is_some_and(|b| *b == 0x7F));
    let len = (header as u64).wrapping_add(slip).to_le_bytes();
    evenkeel_fuzz::prior(&[&len[..], bytes].concat());
    evenkeel_fuzz::prior(bytes);
});
