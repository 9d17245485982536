//! A bundle brought to life on an engine.

use crate::bundle::{Bundle, SelfTest, Variant};
use crate::calibration::Calibration;
use crate::engine::{EngineKind, Machine, VariantChoice};
use crate::picture::Picture;
use crate::scorer::{Extractor, FeatureScorer, SECOND_LOOK, Scored, Scorer};
use crate::{Error, Result, kinds};

/// The engines and the network that may run a bundle on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Engines, the most wanted first. The first engine that starts and passes the bundle's self-test is used; a list of one has no
    /// fall-back.
    pub engines: Vec<EngineKind>,
    /// Which of the bundle's networks runs.
    pub variant: VariantChoice,
    /// The float network decides, by its own threshold, where the int8 network's score is within this share of the threshold. With 0 the
    /// float network is not loaded, and the int8 network decides by its own threshold.
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

/// An engine that was wanted more than the one in use, and could not be used.
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
    /// The float network decides where a score is within this share of the threshold; 0 if it never does.
    pub second_look: f32,
    /// Engines that were wanted more and could not be used.
    pub declined: Vec<Declined>,
    /// The threshold and the false-reject rate that it promises.
    pub calibration: Calibration,
    /// SHA-256 of the bundle.
    pub bundle: String,
    /// Largest relative difference between a reference's score here and at export.
    pub self_test_difference: f32,
    /// Largest relative difference that the bundle accepts.
    pub self_test_tolerance: f32,
}

impl Detector {
    /// Loads the network on the first engine of the list that starts and passes the bundle's self-test.
    ///
    /// # Errors
    /// When no engine does. For a list of one, the error of that engine.
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

    /// The network in use, for messages.
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

    /// Both stages, which may work at the same time: one on a picture while the other works on the picture before it.
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

/// Scores the references; gives the largest relative difference to their scores at export.
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
