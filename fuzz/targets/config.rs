//! The line configuration, from any text.

#![no_main]

use std::path::Path;

use apc_runtime::config::LineConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = LineConfig::parse(Path::new("line.toml"), text);
});
