//! Sound inputs from which several targets start.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{Bundle, Manifest};
use image::{ImageFormat, RgbImage};

/// A manifest for a picture of 32 by 32 and a bank of two vectors.
const MANIFEST: &[u8] = include_bytes!("../seeds/manifest/sound.toml");

/// The smallest sound bundle's manifest and other entries.
pub fn sound_parts() -> (Manifest, BTreeMap<String, Vec<u8>>) {
    let manifest = Manifest::parse(MANIFEST).expect("the seed is sound");
    let bank = MemoryBank::new(&[1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.25, 8.0], 4, Quantisation::Int8).expect("a bank");
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(32, 32).write_to(&mut png, ImageFormat::Png).expect("a picture");
    let files = BTreeMap::from([
        (manifest.backbone.file.clone(), b"no target reads it".to_vec()),
        (manifest.bank.file.clone(), bank.to_tensors().to_bytes().expect("tensors")),
        ("split.json".to_owned(), br#"{"images":[]}"#.to_vec()),
        (manifest.self_test.references[0].file.clone(), png.into_inner()),
    ]);
    (manifest, files)
}

/// The smallest sound bundle and its bytes.
pub fn sound_bundle() -> (Bundle, Vec<u8>) {
    let (manifest, files) = sound_parts();
    Bundle::build(manifest, files, Path::new("sound.apc")).expect("a bundle")
}
