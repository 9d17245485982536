//! The line configuration, from any text.

#![no_main]

use std::path::Path;

use config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Config::parse(Path::new("line.toml"), text);
});
