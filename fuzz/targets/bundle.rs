//! The bundle, from any bytes, and from a sound bundle with one part replaced: hashes would stop nearly everything else at the door,
//! but whoever writes a hostile bundle writes its hashes too.

#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{Bundle, Manifest};
use image::{ImageFormat, RgbImage};
use libfuzzer_sys::fuzz_target;

/// A manifest for a picture of 32 by 32 and a bank of two vectors.
const MANIFEST: &[u8] = include_bytes!("../seeds/manifest/sound.toml");

struct Sound {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    bytes: Vec<u8>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let manifest = Manifest::parse(MANIFEST).expect("the seed is sound");
    let bank = MemoryBank::new(&[1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.25, 8.0], 4, Quantisation::Int8).expect("a bank");
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(32, 32).write_to(&mut png, ImageFormat::Png).expect("a picture");
    let files = BTreeMap::from([
        (manifest.backbone.file.clone(), b"not looked at".to_vec()),
        (manifest.bank.file.clone(), bank.to_tensors().to_bytes().expect("tensors")),
        ("split.json".to_owned(), br#"{"images":[]}"#.to_vec()),
        (manifest.self_test.references[0].file.clone(), png.into_inner()),
    ]);
    let (_, bytes) = Bundle::build(manifest.clone(), files.clone(), Path::new("sound.apc")).expect("a bundle");
    Sound { manifest, files, bytes }
});

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, data) = input;
    let path = Path::new("fuzzed.apc");
    match usize::from(choice) {
        0 => {
            let _ = Bundle::parse(data, path);
        }
        // Some bytes of a sound bundle overwritten: data is a list of place (two bytes) and value.
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
