//! A bundle brought to life on an engine.

use crate::bundle::{Bundle, SelfTest, Variant};
use crate::calibration::Calibration;
use crate::engine::{EngineKind, Machine, VariantChoice};
use crate::picture::Picture;
use crate::scorer::{Extractor, FeatureScorer, SECOND_LOOK, Scored, Scorer};
use crate::{Error, Result, kinds};

/// What may run a bundle, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Engines, the most wanted first. The first that starts and passes the bundle's self-test is used; a list of one has no fall-back.
    pub engines: Vec<EngineKind>,
    /// Which of the bundle's networks.
    pub variant: VariantChoice,
    /// Where the int8 network's score is within this share of the threshold, the float network decides, by its own threshold. 0 never asks it,
    /// and the int8 network has a threshold of its own.
    pub second_look: f32,
    /// Libraries and folders of this machine.
    pub machine: Machine,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            engines: vec![EngineKind::default()],
            variant: VariantChoice::default(),
            second_look: SECOND_LOOK,
            machine: Machine::default(),
        }
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
    /// Within which share of the threshold the float network decides; 0 nowhere.
    pub second_look: f32,
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
        let variant =
            setup.variant.on(engine, setup.engines.len() == 1, |variant| bundle.manifest.variants.contains_key(&variant));
        let second_look = if variant == Variant::Int8 { setup.second_look } else { 0.0 };
        let mut test = |variant: Variant, scorer: &mut dyn Scorer| {
            let (.., self_test) = bundle.variant(variant)?;
            self_test_on(bundle, engine, self_test, scorer)
        };
        let (scorer, self_test_difference) = if second_look > 0.0 {
            kinds::scorer_with_second_look(bundle, engine, second_look, &setup.machine, &mut test)?
        } else {
            let mut scorer = kinds::untested_scorer(bundle, engine, variant, &setup.machine)?;
            let difference = test(variant, scorer.as_mut())?;
            (scorer, difference)
        };
        // With a second look, parts near the threshold have the float network's score: its threshold is the one to compare with.
        let (_, calibration, _) = bundle.variant(if second_look > 0.0 { Variant::Float } else { variant })?;
        let (.., self_test) = bundle.variant(variant)?;
        Ok(Detector {
            scorer,
            self_test_difference,
            self_test_tolerance: self_test.tolerance,
            engine,
            variant,
            second_look,
            declined: Vec::new(),
            calibration: calibration.clone(),
            bundle: bundle.id.clone(),
        })
    }

    /// The network in use, in words.
    pub fn network(&self) -> String {
        let second = if self.second_look > 0.0 { ", float near the threshold" } else { "" };
        format!("{} network{second}", self.variant.name())
    }

    /// Scores a picture; its colour must be the product's.
    ///
    /// # Errors
    /// When the colour differs, the region does not lie in the picture, or the engine fails.
    pub fn score(&mut self, picture: &Picture) -> Result<Scored> {
        self.scorer.score(picture)
    }

    /// Both halves of it, which may work at the same time, on one picture after another.
    pub fn stages(&mut self) -> (Extractor<'_>, &mut dyn FeatureScorer) {
        self.scorer.stages()
    }

    /// Whether a score is above the threshold.
    pub fn is_anomalous(&self, score: f32) -> bool {
        self.calibration.is_anomalous(score)
    }

    /// The scorer, for evaluation and benchmarks.
    pub fn scorer(&mut self) -> &mut dyn Scorer {
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
            return Err(Error::SelfTest {
                path: bundle.path.clone(),
                engine: engine.name(),
                reference: reference.file.clone(),
                found,
                expected: reference.score,
                tolerance: self_test.tolerance,
            });
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}
