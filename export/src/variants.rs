//! Other forms of the network: fused with the memory bank for GPUs, and in int8. Each is compared with the float form, and gets a
//! threshold and a self-test of its own.

use detector::bank::MemoryBank;
use detector::bundle::{Reference, SelfTest, Variant, VariantSection};
use detector::calibration::calibrate;
use detector::engine::{Engine, TractEngine};
use detector::metrics::Ranking;
use detector::run::{ReferenceKind, Run, StoredPicture};
use detector::scorer::{FusedScorer, Scorer};
use serde::{Deserialize, Serialize};

use crate::onnx::{self, Range};
use crate::{Error, Progress, Result};

/// Largest relative difference of an image score that the fused form may make: it computes the same in another order.
pub const FUSED_LIMIT: f32 = 1e-3;
/// The same for the int8 form, which has its own threshold: bounded so that maps and scores keep their meaning.
pub const INT8_LIMIT: f32 = 0.1;
/// Largest loss of image AUROC, the run's calibration images against its anomalous references.
pub const AUROC_LIMIT: f64 = 0.003;
/// Largest relative difference that an engine may show in the self-test: half precision and integer arithmetic differ from tract's.
const TOLERANCE: f32 = 2e-2;
/// Pictures that show the ranges of activations.
const OBSERVED: usize = 32;

/// What a form changes, compared with the float one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantReport {
    /// Largest accepted relative difference of an image score.
    pub limit: f32,
    /// Largest that was found, over references and calibration images.
    pub image_score: f32,
    /// Image AUROC of calibration images against anomalous references; none where the run has no anomalous ones.
    pub image_auroc: Option<f64>,
    /// The float form's.
    pub float_image_auroc: Option<f64>,
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
    references: Vec<f32>,
    calibration: Vec<f32>,
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
        scorer: &mut dyn Scorer,
    ) -> Result<Float<'a>> {
        let mut float = Float { run, bank, self_test, references: Vec::new(), calibration: Vec::new() };
        (float.references, float.calibration) = float.scores(scorer, "variants", &mut |_, _, _| {})?;
        Ok(float)
    }

    /// Makes a form of the network and compares it.
    ///
    /// # Errors
    /// [`Error::Parity`] when it judges too differently.
    pub fn make(&self, variant: Variant, progress: Progress<'_>) -> Result<Made> {
        let info = &self.run.info;
        let (network, weights, input) = (info.backbone.network()?, self.run.weights()?, info.input.input());
        let (onnx, file, limit) = match variant {
            Variant::Fused => (onnx::fused(&network, &weights, input, self.bank, info.defects)?, "detector.onnx", FUSED_LIMIT),
            Variant::Int8 => {
                let ranges = self.ranges(&onnx::observer(&network, &weights, input)?)?;
                (onnx::int8(&network, &weights, input, &ranges)?, "backbone.int8.onnx", INT8_LIMIT)
            }
            Variant::Float => return Err(detector::Error::invalid("the float form is no variant").into()),
        };
        let engine = TractEngine::load(&onnx, input)?;
        let mut scorer: Box<dyn Scorer> = match variant {
            Variant::Fused => Box::new(FusedScorer::new(engine, info.input.clone(), info.smoothing)),
            _ => Box::new(info.scorer(engine, self.bank.clone())),
        };
        let title = if variant == Variant::Fused { "fused network" } else { "int8 network" };
        let (references, calibration) = self.scores(scorer.as_mut(), title, progress)?;
        let report = VariantReport {
            limit,
            image_score: self.difference(&references, &calibration),
            image_auroc: self.auroc(&references, &calibration)?,
            float_image_auroc: self.auroc(&self.references, &self.calibration)?,
        };
        check(variant, &report)?;
        let self_test = SelfTest { tolerance: TOLERANCE, references: score(self.run, self.self_test, scorer.as_mut())? };
        let calibration = calibrate(&calibration, info.false_reject_rate)?;
        Ok(Made { onnx, section: VariantSection { file: file.into(), calibration, self_test }, report })
    }

    /// Scores of all references and of all calibration images.
    fn scores(&self, scorer: &mut dyn Scorer, title: &'static str, progress: Progress<'_>) -> Result<(Vec<f32>, Vec<f32>)> {
        let info = &self.run.info;
        let total = info.references.len() + info.calibration.len();
        let mut done = 0;
        let mut scored = |picture: &StoredPicture| -> Result<f32> {
            let score = scorer.score_prepared(&self.run.picture(picture)?)?.score;
            done += 1;
            progress(title, done, total);
            Ok(score)
        };
        let references = info.references.iter().map(|reference| scored(&reference.picture)).collect::<Result<_>>()?;
        Ok((references, info.calibration.iter().map(scored).collect::<Result<_>>()?))
    }

    /// Ranges of activations over good images.
    fn ranges(&self, observer: &[u8]) -> Result<Vec<Range>> {
        let info = &self.run.info;
        let mut engine = TractEngine::load(observer, info.input.input())?;
        let mut ranges: Vec<Range> = Vec::new();
        for picture in info.calibration.iter().take(OBSERVED) {
            let image = info.input.normalise(&self.run.picture(picture)?.pixels);
            let results = engine.run(&image)?;
            let seen = std::iter::once(Range::of(&image)).chain(results.iter().map(|result| Range::of(&result.values)));
            if ranges.is_empty() {
                ranges = seen.collect();
                continue;
            }
            for (range, seen) in ranges.iter_mut().zip(seen) {
                *range = Range { low: range.low.min(seen.low), high: range.high.max(seen.high) };
            }
        }
        Ok(ranges)
    }

    fn difference(&self, references: &[f32], calibration: &[f32]) -> f32 {
        let all = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().chain(b).copied().collect() };
        let (found, float) = (all(references, calibration), all(&self.references, &self.calibration));
        let each = found.iter().zip(&float).map(|(found, float)| crate::parity::relative(&[*found], &[*float]));
        // f32::max would pass over NaN.
        each.fold(0.0, |worst, difference| if difference.is_nan() || difference > worst { difference } else { worst })
    }

    fn auroc(&self, references: &[f32], calibration: &[f32]) -> Result<Option<f64>> {
        let kinds = self.run.info.references.iter().map(|reference| reference.kind);
        let anomalous = kinds.zip(references).filter(|(kind, _)| *kind == ReferenceKind::Anomalous).map(|(_, score)| *score);
        let scores: Vec<f32> = calibration.iter().copied().chain(anomalous).collect();
        let labels: Vec<bool> = (0..scores.len()).map(|i| i >= calibration.len()).collect();
        let ranking = Ranking::new(&scores, &labels).map_err(|error| detector::Error::invalid(error.to_string()))?;
        Ok(ranking.auroc())
    }
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

fn check(variant: Variant, report: &VariantReport) -> Result<()> {
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
    if let (Some(found), Some(float)) = (report.image_auroc, report.float_image_auroc)
        && float - found > AUROC_LIMIT
    {
        return refuse("the image AUROC of its references", (float - found) as f32, AUROC_LIMIT as f32);
    }
    Ok(())
}
