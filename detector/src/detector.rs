//! A bundle brought to life on an engine.

use crate::bundle::{Bundle, SelfTest, Variant};
use crate::calibration::Calibration;
use crate::engine::{Engine, EngineKind, Machine, VariantChoice};
use crate::picture::Picture;
use crate::scorer::{FusedScorer, Judge, Look, PatchScorer, Scored, Scorer};
use crate::{Error, Result};

/// What may run a bundle, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Engines, the most wanted first. The first that starts and passes the bundle's self-test is used; a list of one has no fall-back.
    pub engines: Vec<EngineKind>,
    /// Which of the bundle's networks.
    pub variant: VariantChoice,
    /// Libraries and folders of this machine.
    pub machine: Machine,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { engines: vec![EngineKind::default()], variant: VariantChoice::default(), machine: Machine::default() }
    }
}

/// An engine that came before the one in use, and was not taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Declined {
    /// The engine.
    pub engine: EngineKind,
    /// Why it does not start, or how it failed the self-test.
    pub reason: String,
}

/// A detector that has passed its self-test on this machine and engine; there is no other way to get one.
pub struct Detector {
    scorer: Box<dyn Scorer>,
    /// The engine in use.
    pub engine: EngineKind,
    /// The network in use.
    pub variant: Variant,
    /// Engines that were wanted more and could not be used.
    pub declined: Vec<Declined>,
    /// Threshold and promise.
    pub calibration: Calibration,
    /// SHA-256 of the bundle.
    pub bundle: String,
    /// Largest relative difference of a reference's score in the self-test.
    pub self_test_difference: f32,
    /// Largest that the bundle accepts.
    pub self_test_tolerance: f32,
}

impl Detector {
    /// Loads the network on the first engine of the list that starts and passes the bundle's self-test.
    ///
    /// # Errors
    /// When no engine does: for a list of one, why that one does not.
    pub fn start(bundle: &Bundle, setup: &Setup) -> Result<Detector> {
        let mut failed: Vec<(EngineKind, Error)> = Vec::new();
        for engine in &setup.engines {
            match Self::start_on(bundle, *engine, setup) {
                Ok(mut detector) => {
                    let declined = |(engine, error): (_, Error)| Declined { engine, reason: error.to_string() };
                    detector.declined = failed.into_iter().map(declined).collect();
                    return Ok(detector);
                }
                Err(error) => {
                    log::warn!("engine {engine} is not used: {error}");
                    failed.push((*engine, error));
                }
            }
        }
        let mut errors: Vec<Error> = failed.into_iter().map(|(_, error)| error).collect();
        match errors.pop() {
            None => Err(Error::invalid("no engine was asked for")),
            Some(error) if errors.is_empty() => Err(error),
            Some(error) => {
                errors.push(error);
                Err(Error::NoEngine(errors))
            }
        }
    }

    fn start_on(bundle: &Bundle, engine: EngineKind, setup: &Setup) -> Result<Detector> {
        let variant = setup.variant.on(engine, |variant| bundle.manifest.variants.contains_key(&variant));
        let (_, calibration, self_test) = bundle.variant(variant)?;
        let mut scorer = untested_scorer(bundle, engine, variant, &setup.machine)?;
        Ok(Detector {
            self_test_difference: self_test_on(bundle, engine, self_test, scorer.as_mut())?,
            self_test_tolerance: self_test.tolerance,
            scorer,
            engine,
            variant,
            declined: Vec::new(),
            calibration: calibration.clone(),
            bundle: bundle.id.clone(),
        })
    }

    /// Scores a picture; its colour must be the product's.
    ///
    /// # Errors
    /// When the colour differs, the region does not lie in the picture, or the engine fails.
    pub fn score(&mut self, picture: &Picture) -> Result<Scored> {
        self.scorer.score(picture)
    }

    /// Both halves of it, which may work at the same time, on one picture after another.
    pub fn halves(&mut self) -> (Look<'_>, &mut dyn Judge) {
        self.scorer.halves()
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

/// Largest relative difference of a reference's score.
fn self_test_on(bundle: &Bundle, engine: EngineKind, self_test: &SelfTest, scorer: &mut dyn Scorer) -> Result<f32> {
    let mut worst = 0.0f32;
    for reference in &self_test.references {
        let found = scorer.score_prepared(&bundle.reference(reference)?)?.score;
        let difference = (found - reference.score).abs() / reference.score.abs().max(f32::MIN_POSITIVE);
        if difference.is_nan() || difference > self_test.tolerance {
            return Err(Error::file(
                &bundle.path,
                format!(
                    "failed its self-test on engine {engine}: {} scored {found}, expected {} within {}; no verdict may come from it",
                    reference.file, reference.score, self_test.tolerance
                ),
            ));
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// A scorer that has not been tested: only the exporter, which makes the self-test, may use it.
///
/// # Errors
/// When the engine cannot start or the bundle's parts do not fit.
pub fn untested_scorer(bundle: &Bundle, engine: EngineKind, variant: Variant, machine: &Machine) -> Result<Box<dyn Scorer>> {
    let manifest = &bundle.manifest;
    let (onnx, ..) = bundle.variant(variant)?;
    if engine == EngineKind::Tract && variant != Variant::Float {
        let problem =
            format!("runs the float network only; the {} one needs ONNX Runtime: ort-cpu, cuda or tensorrt", variant.name());
        return Err(Error::Engine { engine: engine.name(), problem });
    }
    let network = network(bundle, onnx, engine, machine)?;
    let (input, smoothing) = (manifest.input.clone(), manifest.smoothing);
    Ok(match variant {
        Variant::Fused => {
            // Older graphs have added the head's share themselves.
            let defects = manifest.defects.filter(|_| manifest.format >= crate::bundle::FUSED_APART);
            Box::new(FusedScorer::new(network, input, defects, smoothing))
        }
        Variant::Float | Variant::Int8 => {
            let (descriptor, defects) = (manifest.descriptor.kind, manifest.defects);
            Box::new(PatchScorer::new(network, input, descriptor, bundle.bank()?, defects, smoothing))
        }
    })
}

#[cfg_attr(not(all(feature = "tract", feature = "ort")), allow(unused_variables))]
fn network(bundle: &Bundle, onnx: &[u8], engine: EngineKind, machine: &Machine) -> Result<Box<dyn Engine>> {
    let size = bundle.manifest.input.input();
    match engine {
        #[cfg(feature = "tract")]
        EngineKind::Tract => Ok(Box::new(crate::engine::TractEngine::load(onnx, size)?)),
        #[cfg(feature = "ort")]
        EngineKind::OrtCpu | EngineKind::Cuda | EngineKind::Tensorrt => {
            Ok(Box::new(crate::engine::OrtEngine::load(onnx, size, engine, machine, &bundle.id)?))
        }
        #[cfg(not(all(feature = "tract", feature = "ort")))]
        missing => Err(Error::Engine { engine: missing.name(), problem: "was left out of this build".into() }),
    }
}
