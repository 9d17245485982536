//! The bundle, from any bytes, and from a sound bundle with one part replaced and its hashes made right. The author of a hostile bundle
//! writes its hashes too; without them, nearly every input would end at the check of the hashes.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use apc_fuzz::{sound_bundle, sound_parts};
use detector::bundle::{Bundle, Manifest};
use libfuzzer_sys::fuzz_target;

struct Sound {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    bytes: Vec<u8>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let ((manifest, files), (_, bytes)) = (sound_parts(), sound_bundle());
    Sound { manifest, files, bytes }
});

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, data) = input;
    let path = Path::new("fuzzed.apc");
    match usize::from(choice) {
        0 => {
            let _ = Bundle::parse(data, path);
        }
        // Some bytes of a sound bundle overwritten: data is a list of offset (two bytes) and value.
        1 => {
            let mut bytes = SOUND.bytes.clone();
            let length = bytes.len();
            for edit in data.chunks_exact(3) {
                bytes[usize::from(u16::from_le_bytes([edit[0], edit[1]])) % length] = edit[2];
            }
            let _ = Bundle::parse(&bytes, path);
        }
        2 => {
            if let Ok(manifest) = Manifest::parse(data) {
                let _ = Bundle::build(manifest, SOUND.files.clone(), path);
            }
        }
        choice => {
            let mut files = SOUND.files.clone();
            if let Some(file) = files.values_mut().nth((choice - 3) % SOUND.files.len()) {
                *file = data.to_vec();
            }
            if let Ok((bundle, bytes)) = Bundle::build(SOUND.manifest.clone(), files, path) {
                assert_eq!(Bundle::parse(&bytes, path).expect("what was written is read").id, bundle.id);
            }
        }
    }
});
