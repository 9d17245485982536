//! An installed bundle.

use std::path::{Path, PathBuf};

use detector::Detector;
use detector::bundle::{Bundle, Variant};
use detector::engine::EngineKind;
use serde::{Deserialize, Serialize};

use crate::folder::now;

/// Characters of an id in file names.
const SHORT: usize = 12;

/// An installed bundle and what was found out about it on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name of the bundle's file.
    pub file: String,
    /// SHA-256 of the bundle.
    pub id: String,
    /// Name of the product.
    pub product: String,
    /// The engine that it was tested on.
    pub engine: EngineKind,
    /// The network that was tested.
    pub variant: Variant,
    /// Largest relative difference of a reference's score in that test.
    pub self_test_difference: f32,
    /// Largest that the bundle accepts.
    pub self_test_tolerance: f32,
    /// When it was installed; seconds since 1970, UTC.
    pub installed: u64,
}

impl Model {
    /// What a started detector says of its bundle. `name` becomes part of the file's name.
    pub fn tested(detector: &Detector, bundle: &Bundle, name: &str) -> Model {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
        let name: String = name.chars().map(plain).take(40).collect();
        Model {
            file: format!("{name}-{}.apc", short(&bundle.id)),
            id: bundle.id.clone(),
            product: bundle.manifest.detector.name.clone(),
            engine: detector.engine,
            variant: detector.variant,
            self_test_difference: detector.self_test_difference,
            self_test_tolerance: detector.self_test_tolerance,
            installed: now(),
        }
    }

    pub(super) fn record(&self) -> PathBuf {
        Path::new(&self.file).with_extension("toml")
    }
}

/// The beginning of an id, for people and file names.
pub fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}
