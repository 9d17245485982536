//! The bundle's manifest, from any bytes.

#![no_main]

use detector::bundle::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(bytes);
});
