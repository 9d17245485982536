#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if data.len() > 3 && data.starts_with(b"FUZ") && data[3] == b'Z' { panic!("found") }
});
