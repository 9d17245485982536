//! Other forms of the network: fused with the memory bank for GPUs, and in int8. Each is compared with the float form, and gets a
//! threshold and a self-test of its own.

use detector::bank::MemoryBank;
use detector::bundle::{Reference, SelfTest, Variant, VariantSection};
use detector::calibration::{calibrate, is_anomalous};
use detector::dataset::Sample;
use detector::engine::{Engine, TractEngine};
use detector::evaluate::evaluate;
use detector::metrics::Ranking;
use detector::preprocess::Size;
use detector::run::{ReferenceKind, Run, StoredPicture};
use detector::scorer::{FusedScorer, Scorer};
use serde::{Deserialize, Serialize};

use crate::onnx::{self, Seen};
use crate::{Error, Progress, Result};

/// Largest relative difference of an image score that the fused form may make: it computes the same in another order.
pub const FUSED_LIMIT: f32 = 1e-3;
/// The same for the int8 form, which rounds: also for [`DEVIATIONS`] times the root mean square of the differences. Noise is left out: it
/// lies outside the ranges that good images show, and it is enough that it stays above the threshold.
pub const INT8_LIMIT: f32 = 2e-2;
/// The largest of many differences that are distributed normally is about so many times their root mean square: of some tens of pictures
/// the root mean square tells more of what is to come than their largest.
const DEVIATIONS: f32 = 4.0;
/// Largest loss of image AUROC, on images that training has not seen.
pub const AUROC_LIMIT: f64 = 0.003;
/// Where there are no such images, the run's calibration images are ranked against its few anomalous references; so many pairs may change
/// places by chance.
const PAIRS: f64 = 2.0;
/// Largest relative difference that an engine may show in the self-test: half precision and integer arithmetic differ from tract's.
const TOLERANCE: f32 = 2e-2;
/// Good pictures that show the ranges of activations.
const OBSERVED: usize = 32;

/// What a form changes, compared with the float one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantReport {
    /// Largest accepted relative difference of an image score.
    pub limit: f32,
    /// Largest that was found, over references and calibration images; of the int8 form, that must be expected among many.
    pub image_score: f32,
    /// Image AUROC on images that training has not seen; where they are not there, of calibration images against anomalous references; none
    /// where the run has no anomalous ones.
    pub image_auroc: Option<f64>,
    /// The float form's.
    pub float_image_auroc: Option<f64>,
    /// How many of the int8 form's convolutions are float, from the first on, so that it keeps the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float_convolutions: Option<usize>,
}

/// A form that passed.
pub struct Made {
    pub onnx: Vec<u8>,
    pub section: VariantSection,
    pub report: VariantReport,
}

/// What variants are compared with: the float form, in the same bank.
pub struct Float<'a> {
    pub run: &'a Run,
    pub bank: &'a MemoryBank,
    /// Pictures of the self-test and their entries in the bundle.
    pub self_test: &'a [(String, StoredPicture)],
    /// Images that training has not seen; empty where they are not there.
    pub unseen: &'a [Sample],
    scores: Scores,
}

/// What a form says to the run's pictures.
struct Scores {
    references: Vec<f32>,
    calibration: Vec<f32>,
    /// [`VariantReport::image_auroc`], and in how many steps it changes: one for each pair of a good and an anomalous image.
    auroc: Option<f64>,
    pairs: usize,
}

impl<'a> Float<'a> {
    /// Scores what variants will be compared on.
    ///
    /// # Errors
    /// When a picture of the run cannot be read.
    pub fn new(
        run: &'a Run,
        bank: &'a MemoryBank,
        self_test: &'a [(String, StoredPicture)],
        unseen: &'a [Sample],
        scorer: &mut dyn Scorer,
        progress: Progress<'_>,
    ) -> Result<Float<'a>> {
        let scores = scores(run, unseen, scorer, "variants", progress)?;
        Ok(Float { run, bank, self_test, unseen, scores })
    }

    /// Makes a form of the network and compares it. The int8 form begins its integers as early in the network as the limit allows.
    ///
    /// # Errors
    /// [`Error::Parity`] when it judges too differently.
    pub fn make(&self, variant: Variant, progress: Progress<'_>) -> Result<Made> {
        let info = &self.run.info;
        let (network, weights, input) = (info.backbone.network()?, self.run.weights()?, info.input.input());
        match variant {
            Variant::Float => Err(detector::Error::invalid("the float form is no variant").into()),
            Variant::Fused => {
                let onnx = onnx::fused(&network, &weights, input, self.bank)?;
                let mut scorer = FusedScorer::new(engine(&onnx, input)?, info.input.clone(), info.defects, info.smoothing);
                let found = scores(self.run, self.unseen, &mut scorer, "fused network", progress)?;
                self.made(variant, onnx, &mut scorer, &found, None)
            }
            Variant::Int8 => {
                let seen = self.seen(&onnx::observer(&network, &weights, input)?)?;
                let beginnings = onnx::beginnings(&network);
                let form = |place: usize| -> Result<_> {
                    let too_few = || detector::Error::invalid("the network has too few convolutions for an int8 form");
                    let begin = beginnings.get(place).ok_or_else(too_few)?;
                    let onnx = onnx::int8(&network, &weights, input, &seen, *begin)?;
                    let scorer = info.scorer(engine(&onnx, input)?, self.bank.clone());
                    Ok((onnx, scorer))
                };
                // Found by halving: the later integers begin, the less they change.
                let (mut low, mut high) = (0, beginnings.len().saturating_sub(1));
                while low < high {
                    let middle = (low + high) / 2;
                    let found = scores(self.run, &[], &mut form(middle)?.1, "int8 network", progress)?;
                    if self.difference(variant, &found) <= INT8_LIMIT {
                        high = middle;
                    } else {
                        low = middle + 1;
                    }
                }
                let (onnx, mut scorer) = form(low)?;
                let found = scores(self.run, self.unseen, &mut scorer, "int8 network", progress)?;
                self.made(variant, onnx, &mut scorer, &found, Some(low + 1))
            }
        }
    }

    /// Checks what a form said to the run's pictures.
    fn made(
        &self,
        variant: Variant,
        onnx: Vec<u8>,
        scorer: &mut dyn Scorer,
        found: &Scores,
        float_convolutions: Option<usize>,
    ) -> Result<Made> {
        let info = &self.run.info;
        let (file, limit) = match variant {
            Variant::Int8 => ("backbone.int8.onnx", INT8_LIMIT),
            _ => ("detector.onnx", FUSED_LIMIT),
        };
        let report = VariantReport {
            limit,
            image_score: self.difference(variant, found),
            image_auroc: found.auroc,
            float_image_auroc: self.scores.auroc,
            float_convolutions,
        };
        let calibration = calibrate(&found.calibration, info.false_reject_rate)?;
        self.check(variant, &report, found, calibration.threshold)?;
        let self_test = SelfTest { tolerance: TOLERANCE, references: score(self.run, self.self_test, scorer)? };
        Ok(Made { onnx, section: VariantSection { file: file.into(), calibration, self_test }, report })
    }

    /// What good images and the run's anomalous ones show: what a defect excites must not be cut off, or it would look less like one.
    fn seen(&self, observer: &[u8]) -> Result<Vec<Seen>> {
        let info = &self.run.info;
        let mut engine = engine(observer, info.input.input())?;
        let mut all: Vec<Seen> = Vec::new();
        let anomalous = info.references.iter().filter(|reference| reference.kind == ReferenceKind::Anomalous);
        let pictures = info.calibration.iter().take(OBSERVED).chain(anomalous.map(|reference| &reference.picture));
        for picture in pictures {
            let maps = engine.run(&info.input.normalise(&self.run.picture(picture)?.pixels))?;
            if all.is_empty() {
                all = maps.iter().map(Seen::of).collect();
            } else {
                all.iter_mut().zip(&maps).for_each(|(seen, map)| seen.join(&Seen::of(map)));
            }
        }
        Ok(all)
    }

    /// Largest relative difference of an image score, noise left out; of the int8 form, what it must be expected to be among many.
    fn difference(&self, variant: Variant, found: &Scores) -> f32 {
        let kinds = self.run.info.references.iter().map(|reference| reference.kind);
        let references = kinds.zip(found.references.iter().zip(&self.scores.references));
        let pictures = references.filter(|(kind, _)| *kind != ReferenceKind::Noise).map(|(_, scores)| scores);
        let each = pictures.chain(found.calibration.iter().zip(&self.scores.calibration));
        let each: Vec<f32> = each.map(|(found, float)| crate::parity::relative(&[*found], &[*float])).collect();
        // f32::max would pass over NaN.
        let largest = |worst, difference: f32| if difference.is_nan() || difference > worst { difference } else { worst };
        let worst = each.iter().copied().fold(0.0, largest);
        match variant {
            Variant::Int8 => {
                let squares: f32 = each.iter().map(|difference| difference * difference).sum();
                largest(worst, DEVIATIONS * (squares / each.len().max(1) as f32).sqrt())
            }
            _ => worst,
        }
    }

    fn check(&self, variant: Variant, report: &VariantReport, found: &Scores, threshold: f32) -> Result<()> {
        let refuse = |quantity: &str, difference, limit| {
            let reference = format!("{} network", variant.name());
            let advice = match variant {
                Variant::Int8 => "export without --int8",
                _ => "this is a fault of the exporter, please report it",
            };
            Err(Error::Parity { reference, quantity: quantity.into(), difference, from: "from the float network", limit, advice })
        };
        // Written so that NaN fails.
        if report.image_score.is_nan() || report.image_score > report.limit {
            return refuse("an image score", report.image_score, report.limit);
        }
        let float_threshold = calibrate(&self.scores.calibration, self.run.info.false_reject_rate)?.threshold;
        let of_noise = self.run.info.references.iter().zip(found.references.iter().zip(&self.scores.references));
        for (reference, (found, float)) in of_noise.filter(|(reference, _)| reference.kind == ReferenceKind::Noise) {
            if is_anomalous(*float, float_threshold) && !is_anomalous(*found, threshold) {
                let quantity = format!("noise ({}), no longer above the threshold, whose score", reference.picture.file);
                return refuse(&quantity, crate::parity::relative(&[*found], &[*float]), report.limit);
            }
        }
        let limit = AUROC_LIMIT.max(if self.unseen.is_empty() { PAIRS / found.pairs.max(1) as f64 } else { 0.0 });
        if let (Some(found), Some(float)) = (report.image_auroc, report.float_image_auroc)
            && float - found > limit
        {
            return refuse("the image AUROC", (float - found) as f32, limit as f32);
        }
        Ok(())
    }
}

/// Scores all references, calibration images and unseen images.
fn scores(run: &Run, unseen: &[Sample], scorer: &mut dyn Scorer, title: &'static str, progress: Progress<'_>) -> Result<Scores> {
    let info = &run.info;
    let total = info.references.len() + info.calibration.len() + unseen.len();
    let mut done = 0;
    let mut tick = || {
        done += 1;
        progress(title, done, total);
    };
    let mut scored = |picture: &StoredPicture| -> Result<f32> {
        let score = scorer.score_prepared(&run.picture(picture)?)?.score;
        tick();
        Ok(score)
    };
    let references: Vec<f32> = info.references.iter().map(|reference| scored(&reference.picture)).collect::<Result<_>>()?;
    let calibration: Vec<f32> = info.calibration.iter().map(scored).collect::<Result<_>>()?;
    if !unseen.is_empty() {
        let figures = evaluate(scorer, unseen, None, &mut tick)?.figures;
        return Ok(Scores { references, calibration, auroc: figures.image_auroc, pairs: figures.good * figures.anomalous });
    }
    let kinds = info.references.iter().map(|reference| reference.kind);
    let anomalous = kinds.zip(&references).filter(|(kind, _)| *kind == ReferenceKind::Anomalous).map(|(_, score)| *score);
    let ranked: Vec<f32> = calibration.iter().copied().chain(anomalous).collect();
    let labels: Vec<bool> = (0..ranked.len()).map(|i| i >= calibration.len()).collect();
    let ranking = Ranking::new(&ranked, &labels).map_err(|error| detector::Error::invalid(error.to_string()))?;
    let pairs = calibration.len() * (ranked.len() - calibration.len());
    Ok(Scores { auroc: ranking.auroc(), pairs, references, calibration })
}

/// tract with all its operators; the camera's knows those of float backbones.
///
/// # Errors
/// When the bytes are no ONNX model that tract can run.
pub fn engine(onnx: &[u8], input: Size) -> detector::Result<TractEngine> {
    TractEngine::load_with(&tract_onnx::onnx(), onnx, input)
}

/// Scores of the self-test's pictures.
///
/// # Errors
/// When a picture cannot be read or scored.
pub fn score(run: &Run, pictures: &[(String, StoredPicture)], scorer: &mut dyn Scorer) -> Result<Vec<Reference>> {
    let scored = |(file, stored): &(String, StoredPicture)| {
        let score = scorer.score_prepared(&run.picture(stored)?)?.score;
        Ok(Reference { file: file.clone(), content: stored.content, score })
    };
    pictures.iter().map(scored).collect()
}
