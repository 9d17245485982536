//! A station, from any bytes, and from a sound station with one part replaced and its hashes made right.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use apc_fuzz::sound_bundle;
use config::Config;
use libfuzzer_sys::fuzz_target;
use store::station::{Device, Station};

const LINE: &[u8] = b"[detector]\nbundle = \"active\"\n[runtime]\nstate = \"state\"\n[source.replay]\nimages = \"images\"\n";

struct Sound {
    files: BTreeMap<String, Vec<u8>>,
    bytes: Vec<u8>,
}

fn devices() -> Vec<Device> {
    vec![Device { role: "main".to_owned(), port: "replay".to_owned() }]
}

fn build(files: BTreeMap<String, Vec<u8>>) -> Option<(Station, Vec<u8>)> {
    Station::build(devices(), files, "fuzz", Path::new("sound.station")).ok()
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    Config::parse(Path::new("line.toml"), std::str::from_utf8(LINE).expect("text")).expect("the line is sound");
    let (bundle, bytes) = sound_bundle();
    let id = bundle.id;
    let record = format!(
        "file = \"part.apc\"\nid = \"{id}\"\nproduct = \"part\"\nengine = \"tract\"\nvariant = \"float\"\nself_test_difference = 0.0\n\
         self_test_tolerance = 0.001\ninstalled = 1\n"
    );
    let files = BTreeMap::from([
        ("line.toml".to_owned(), LINE.to_vec()),
        ("models/active.toml".to_owned(), format!("history = [\"{id}\"]\n").into_bytes()),
        ("models/part.apc".to_owned(), bytes),
        ("models/part.toml".to_owned(), record.into_bytes()),
    ]);
    let (_, bytes) = build(files.clone()).expect("a station");
    Sound { files, bytes }
});

/// Names of entries: the first half is in the sound station, the second half is added to it.
const NAMES: [&str; 8] = [
    "line.toml",
    "models/active.toml",
    "models/part.apc",
    "models/part.toml",
    "site/main/a.toml",
    "golden/main.toml",
    "golden/main.png",
    "other",
];

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, data) = input;
    let path = Path::new("fuzzed.station");
    match usize::from(choice) {
        0 => {
            let _ = Station::parse(data, path);
        }
        // Some bytes of a sound station overwritten: data is a list of offset (two bytes) and value.
        1 => {
            let mut bytes = SOUND.bytes.clone();
            let length = bytes.len();
            for edit in data.chunks_exact(3) {
                bytes[usize::from(u16::from_le_bytes([edit[0], edit[1]])) % length] = edit[2];
            }
            let _ = Station::parse(&bytes, path);
        }
        choice => {
            let mut files = SOUND.files.clone();
            files.insert(NAMES[choice % NAMES.len()].to_owned(), data.to_vec());
            if let Some((station, bytes)) = build(files) {
                assert_eq!(Station::parse(&bytes, path).expect("what was written is read").id, station.id);
            }
        }
    }
});
