//! A bundle brought to life on an engine.

use crate::bundle::Bundle;
use crate::calibration::Calibration;
use crate::engine::EngineKind;
use crate::picture::Picture;
use crate::scorer::{Scored, Scorer};
use crate::{Error, Result};

/// A detector that has passed its self-test on this machine and engine; there is no other way to get one.
pub struct Detector {
    scorer: Box<dyn Scorer>,
    /// Threshold and promise.
    pub calibration: Calibration,
    /// SHA-256 of the bundle.
    pub bundle: String,
    /// Largest relative difference of a reference's score in the self-test.
    pub self_test_difference: f32,
}

impl Detector {
    /// Loads the backbone on the engine and runs the bundle's self-test.
    ///
    /// # Errors
    /// When the engine cannot start, or a reference's score differs by more than the bundle's tolerance.
    pub fn start(bundle: &Bundle, engine: EngineKind) -> Result<Detector> {
        let mut scorer = untested_scorer(bundle, engine)?;
        let mut worst = 0.0f32;
        for reference in &bundle.manifest.self_test.references {
            let found = scorer.score_prepared(&bundle.reference(reference)?)?.score;
            let difference = (found - reference.score).abs() / reference.score.abs().max(f32::MIN_POSITIVE);
            if difference.is_nan() || difference > bundle.manifest.self_test.tolerance {
                return Err(Error::file(
                    &bundle.path,
                    format!(
                        "failed its self-test on engine {engine}: {} scored {found}, expected {} within {}; no verdict may come from it",
                        reference.file, reference.score, bundle.manifest.self_test.tolerance
                    ),
                ));
            }
            worst = worst.max(difference);
        }
        let calibration = bundle.manifest.calibration.clone();
        Ok(Detector { scorer, calibration, bundle: bundle.id.clone(), self_test_difference: worst })
    }

    /// Scores a picture; its colour must be the product's.
    ///
    /// # Errors
    /// When the colour differs, the region does not lie in the picture, or the engine fails.
    pub fn score(&mut self, picture: &Picture) -> Result<Scored> {
        let expected = self.scorer.preprocess().colour;
        if picture.colour != expected {
            let found = picture.colour;
            return Err(Error::invalid(format!("the image is {found}; the detector was trained on {expected} images")));
        }
        self.scorer.score(picture)
    }

    /// Whether a score is above the threshold.
    pub fn is_anomalous(&self, score: f32) -> bool {
        self.calibration.is_anomalous(score)
    }

    /// The scorer, for evaluation and benchmarks.
    pub fn untested_scorer(&mut self) -> &mut dyn Scorer {
        self.scorer.as_mut()
    }
}

/// A scorer that has not been tested: only the exporter, which makes the self-test, may use it.
///
/// # Errors
/// When the engine cannot start or the bundle's parts do not fit.
pub fn untested_scorer(bundle: &Bundle, engine: EngineKind) -> Result<Box<dyn Scorer>> {
    let manifest = &bundle.manifest;
    let onnx = bundle.file(&manifest.backbone.file)?;
    match engine {
        #[cfg(feature = "tract")]
        EngineKind::Tract => {
            let engine = crate::engine::TractEngine::load(onnx, manifest.input.input())?;
            let (input, kind) = (manifest.input.clone(), manifest.descriptor.kind);
            Ok(Box::new(crate::scorer::PatchScorer::new(engine, input, kind, bundle.bank()?, manifest.smoothing)))
        }
        #[cfg(not(feature = "tract"))]
        EngineKind::Tract => {
            let _ = onnx;
            Err(Error::Engine { engine: "tract", problem: "was left out of this build".into() })
        }
    }
}
