//! The detectors of a configuration. All are loaded and tested before the first part, so that a change of the product loads nothing.

use std::path::{Path, PathBuf};

use config::Config;
use detector::bundle::Bundle;
use detector::picture::Picture;
use detector::preprocess::Rect;
use detector::scorer::Scored;
use detector::{Detector, Result};
use log::info;
use store::Store;
use store::models::ModelError;

/// A detector, with the path of its bundle in the configuration.
pub struct Loaded {
    /// As in [`config::Seat::bundle`].
    pub path: PathBuf,
    /// The detector, which has passed its self-test.
    pub detector: Detector,
}

/// Reads and verifies a bundle, then starts and tests its detector.
///
/// # Errors
/// When the bundle is damaged, or no engine passes its self-test.
pub fn load(path: &Path, config: &Config) -> std::result::Result<(Bundle, Detector), ModelError> {
    let bundle = Store::at(&config.runtime.state).bundle(path)?;
    let detector = Detector::start(&bundle, &config.setup())?;
    Ok((bundle, detector))
}

/// Loads every bundle of a configuration, each once. The content of the bundles is dropped: the detectors hold what they need.
///
/// # Errors
/// As [`load`].
pub fn load_all(config: &Config) -> std::result::Result<Vec<Loaded>, ModelError> {
    let mut all = Vec::new();
    for path in config.bundles() {
        let (bundle, detector) = load(path, config)?;
        info!(
            "start: bundle {} ({}), engine {}, {}, self-test difference {:.1e}, {} threads",
            bundle.manifest.detector.name,
            bundle.id,
            detector.engine,
            detector.network(),
            detector.self_test_difference,
            rayon::current_num_threads()
        );
        all.push(Loaded { path: path.to_owned(), detector });
    }
    Ok(all)
}

/// Scores the region of a picture that belongs to a seat, or the whole picture.
///
/// # Errors
/// When the region does not lie in the picture, or the detector fails.
pub fn score(detector: &mut Detector, region: Option<Rect>, picture: &Picture) -> Result<Scored> {
    match region {
        None => detector.score(picture),
        Some(region) => detector.score(&cropped(picture, region)?),
    }
}

/// The region of a picture, as a picture.
///
/// # Errors
/// When the region does not lie in the picture.
pub fn cropped(picture: &Picture, region: Rect) -> Result<Picture> {
    Ok(Picture { pixels: region.crop(&picture.pixels)?, colour: picture.colour })
}
