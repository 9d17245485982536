//! A bundle becomes an installed model, after its self-test on this machine.

use std::path::{Path, PathBuf};

use detector::bundle::{Bundle, SIZE_LIMIT};
use detector::files;
use detector::{Detector, Setup};
use serde::Serialize;
use store::Store;
use store::models::{Model, ModelError};

use crate::workbench::engine_in_use::EngineInUse;

/// An installed bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    /// The bundle's id.
    pub bundle: String,
    /// Its file in the state folder.
    pub path: PathBuf,
    /// The engine and network that passed the self-test.
    #[serde(flatten)]
    pub engine: EngineInUse,
    /// Largest relative difference of a reference's score.
    pub self_test_difference: f32,
}

/// Verifies a bundle, starts its detector, which tests itself and may build the network for this machine, and copies the bundle to the
/// state folder.
///
/// # Errors
/// When the bundle is damaged, no engine passes its self-test, or the state folder cannot be changed.
pub fn install(bundle: &Path, setup: &Setup, state: &Path) -> Result<Installed, ModelError> {
    // The bytes that were verified are the bytes that are written.
    let bytes = files::read_bounded(bundle, SIZE_LIMIT)?;
    let parsed = Bundle::parse(&bytes, bundle)?;
    let detector = Detector::start(&parsed, setup)?;
    let name = bundle.file_stem().unwrap_or_default().to_string_lossy();
    let tested = Model::tested(&detector, &parsed, &name);
    let path = Store::at(state).lock()?.install(tested, &bytes)?;
    Ok(Installed {
        bundle: parsed.id,
        path,
        engine: EngineInUse::of(&detector),
        self_test_difference: detector.self_test_difference,
    })
}
