//! Other forms of the network: fused with the detector's other parts for GPUs, and in int8. Each is compared with the float form, and gets
//! a threshold and a self-test of its own.

use detector::bundle::{Variant, VariantSection};
use detector::calibration::is_anomalous;
use detector::dataset::Sample;
use detector::engine::Engine;
use detector::evaluate::evaluate;
use detector::metrics::Ranking;
use detector::run::{ReferenceKind, Run, StoredPicture};
use detector::scorer::Scorer;
use serde::{Deserialize, Serialize};

use crate::engine;
use crate::error::Result;
use crate::gate::{Gate, relative};
use crate::kinds::Parts;
use crate::onnx::{self, Activations};
use crate::progress::Progress;
use crate::self_test::{self, TestPicture};

/// Largest relative difference of an image score that the fused form may make: it computes the same in another order.
pub const FUSED_LIMIT: f32 = 1e-3;
/// Largest relative difference of an image score that the int8 form, which rounds, may make; it also bounds [`DEVIATIONS`] times the root
/// mean square of the differences. Noise is left out: it lies outside the ranges that good images show, and it is enough that it stays
/// above the threshold.
pub const INT8_LIMIT: f32 = 2e-2;
/// The largest of many normally distributed differences is about so many times their root mean square. Of some tens of pictures, the root
/// mean square predicts the largest difference among many better than the largest of the tens does.
const DEVIATIONS: f32 = 4.0;
/// Largest loss of image AUROC, on images that training has not seen.
pub const AUROC_LIMIT: f64 = 0.003;
/// Where there are no such images, the run's calibration images are ranked against its few anomalous references; so many pairs may change
/// places by chance.
const PAIRS: f64 = 2.0;
/// Largest relative difference of a self-test score that an engine may show: half precision and integer arithmetic differ from tract's.
const TOLERANCE: f32 = 2e-2;
/// Most calibration images that a search for the int8 form's beginning scores each time; the form that is found is compared on all.
const SEARCHED: usize = 64;
/// Good pictures that show the ranges of activations.
const OBSERVED: usize = 32;

const FUSED: Gate = Gate { from: FROM_FLOAT, limit: FUSED_LIMIT, advice: "this is a fault of the exporter, please report it" };
const INT8: Gate = Gate { from: FROM_FLOAT, limit: INT8_LIMIT, advice: "export without --int8" };
const FROM_FLOAT: &str = "from the float network";

/// Differences of a form from the float one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantReport {
    /// Largest accepted relative difference of an image score.
    pub limit: f32,
    /// Largest difference over references and calibration images; of the int8 form, the largest that must be expected among many images.
    pub image_score: f32,
    /// Image AUROC on images that training has not seen; where they are not there, of calibration images against anomalous references; none
    /// where the run has no anomalous ones.
    pub image_auroc: Option<f64>,
    /// The same of the float form.
    pub float_image_auroc: Option<f64>,
    /// Number of convolutions that stay float in the int8 form, from the first on, so that it keeps the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float_convolutions: Option<usize>,
}

/// A form that passed its gate.
pub struct Made {
    /// Bytes of its ONNX file.
    pub onnx: Vec<u8>,
    /// Its section of the manifest.
    pub section: VariantSection,
    /// Its part of the report.
    pub report: VariantReport,
}

/// The float form, with which other forms are compared.
pub struct Float<'a> {
    run: &'a Run,
    parts: &'a dyn Parts,
    pictures: &'a [TestPicture],
    unseen: &'a [Sample],
    scores: Scores,
}

/// Scores of a form.
struct Scores {
    /// Of the run's references.
    references: Vec<f32>,
    /// Of the run's calibration images: of all, or of every so many.
    calibration: Vec<f32>,
    /// See `calibration`.
    every: usize,
    /// [`VariantReport::image_auroc`]
    auroc: Option<f64>,
    /// Pairs of a good and an anomalous image: the AUROC changes in steps of one pair.
    pairs: usize,
}

/// A form before it is compared.
struct Form {
    variant: Variant,
    /// Name of its file in the bundle.
    file: &'static str,
    onnx: Vec<u8>,
    gate: Gate,
    float_convolutions: Option<usize>,
}

impl<'a> Float<'a> {
    /// Scores the images of the comparison. `pictures` are those of the self-test, `unseen` the images that training has not seen.
    ///
    /// # Errors
    /// When a picture cannot be read or scored.
    pub fn new(
        run: &'a Run,
        parts: &'a dyn Parts,
        pictures: &'a [TestPicture],
        unseen: &'a [Sample],
        scorer: &mut dyn Scorer,
        progress: Progress<'_>,
    ) -> Result<Float<'a>> {
        let scores = scores(run, (unseen, 1), scorer, "variants", progress)?;
        Ok(Float { run, parts, pictures, unseen, scores })
    }

    /// Makes the fused form and compares it.
    ///
    /// # Errors
    /// [`crate::Error::Parity`] when its scores differ too much.
    pub fn fused(&self, progress: Progress<'_>) -> Result<Made> {
        let info = &self.run.info;
        let input = info.input.input();
        let onnx = self.parts.fused(&info.backbone.network()?, &self.run.weights()?, input)?;
        let mut scorer = self.parts.fused_scorer(Box::new(engine::load(&onnx, input)?));
        let found = scores(self.run, (self.unseen, 1), &mut *scorer, "fused network", progress)?;
        let form = Form { variant: Variant::Fused, file: "detector.onnx", onnx, gate: FUSED, float_convolutions: None };
        self.compare(form, &mut *scorer, &found)
    }

    /// Makes the int8 form and compares it. Its integers start as early in the network as the limit allows.
    ///
    /// # Errors
    /// [`crate::Error::Parity`] when its scores differ too much.
    pub fn int8(&self, progress: Progress<'_>) -> Result<Made> {
        let info = &self.run.info;
        let (network, weights, input) = (info.backbone.network()?, self.run.weights()?, info.input.input());
        let activations = self.observe(&onnx::observer(&network, &weights, input)?)?;
        let starts = onnx::starts(&network);
        let form = |place: usize| -> Result<(Vec<u8>, Box<dyn Scorer>)> {
            let too_few = || detector::Error::invalid("the network has too few convolutions for an int8 form");
            let start = starts.get(place).ok_or_else(too_few)?;
            let onnx = onnx::int8(&network, &weights, input, &activations, *start)?;
            let scorer = self.parts.scorer(Box::new(engine::load(&onnx, input)?));
            Ok((onnx, scorer))
        };
        // Found by halving: the later integers start, the smaller is the difference.
        let (mut low, mut high) = (0, starts.len().saturating_sub(1));
        let every = info.calibration.len().div_ceil(SEARCHED).max(1);
        while low < high {
            let middle = (low + high) / 2;
            let found = scores(self.run, (&[], every), &mut *form(middle)?.1, "int8 network", progress)?;
            if self.difference(Variant::Int8, &found) <= INT8.limit {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // Small differences of scores may still change their order: integers then start later.
        let last = starts.len().saturating_sub(1);
        loop {
            let (onnx, mut scorer) = form(low)?;
            let found = scores(self.run, (self.unseen, 1), &mut *scorer, "int8 network", progress)?;
            let (file, float_convolutions) = ("backbone.int8.onnx", Some(low + 1));
            let form = Form { variant: Variant::Int8, file, onnx, gate: INT8, float_convolutions };
            match self.compare(form, &mut *scorer, &found) {
                Err(crate::Error::Parity { .. }) if low < last => low = (low + last).div_ceil(2),
                made => return made,
            }
        }
    }

    /// Compares the scores of a form with the float form's, and finds its threshold and self-test.
    fn compare(&self, form: Form, scorer: &mut dyn Scorer, found: &Scores) -> Result<Made> {
        let report = VariantReport {
            limit: form.gate.limit,
            image_score: self.difference(form.variant, found),
            image_auroc: found.auroc,
            float_image_auroc: self.scores.auroc,
            float_convolutions: form.float_convolutions,
        };
        let info = &self.run.info;
        let calibration = info.calibrate(&info.unseen_scores(&found.calibration))?;
        self.check(&form, &report, found, calibration.threshold)?;
        let self_test = self_test::record(self.run, self.pictures, scorer, TOLERANCE)?;
        Ok(Made { onnx: form.onnx, section: VariantSection { file: form.file.into(), calibration, self_test }, report })
    }

    /// Activations on good images and on the run's anomalous references: values that only a defect excites must not be cut off.
    fn observe(&self, observer: &[u8]) -> Result<Vec<Activations>> {
        let info = &self.run.info;
        let mut engine = engine::load(observer, info.input.input())?;
        let mut all: Vec<Activations> = Vec::new();
        let anomalous = info.references.iter().filter(|reference| reference.kind == ReferenceKind::Anomalous);
        let pictures = info.calibration.iter().take(OBSERVED).chain(anomalous.map(|reference| &reference.picture));
        for picture in pictures {
            let maps = engine.run(&info.input.normalise(&self.run.picture(picture)?.pixels))?;
            if all.is_empty() {
                all = maps.iter().map(Activations::of).collect();
            } else {
                all.iter_mut().zip(&maps).for_each(|(activations, map)| activations.join(&Activations::of(map)));
            }
        }
        Ok(all)
    }

    /// Largest relative difference of an image score, noise left out; of the int8 form, the largest that must be expected among many images.
    fn difference(&self, variant: Variant, found: &Scores) -> f32 {
        let kinds = self.run.info.references.iter().map(|reference| reference.kind);
        let references = kinds.zip(found.references.iter().zip(&self.scores.references));
        let pictures = references.filter(|(kind, _)| *kind != ReferenceKind::Noise).map(|(_, scores)| scores);
        let each = pictures.chain(found.calibration.iter().zip(self.scores.calibration.iter().step_by(found.every)));
        let each: Vec<f32> = each.map(|(found, float)| relative(&[*found], &[*float])).collect();
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

    fn check(&self, form: &Form, report: &VariantReport, found: &Scores, threshold: f32) -> Result<()> {
        let name = format!("{} network", form.variant.name());
        form.gate.check(&name, "an image score", report.image_score)?;
        let info = &self.run.info;
        let float_threshold = info.calibrate(&info.unseen_scores(&self.scores.calibration))?.threshold;
        let of_noise = self.run.info.references.iter().zip(found.references.iter().zip(&self.scores.references));
        for (reference, (found, float)) in of_noise.filter(|(reference, _)| reference.kind == ReferenceKind::Noise) {
            if is_anomalous(*float, float_threshold) && !is_anomalous(*found, threshold) {
                let quantity = format!("noise ({}), no longer above the threshold, whose score", reference.picture.file);
                return Err(form.gate.refusal(&name, &quantity, relative(&[*found], &[*float])));
            }
        }
        let limit = AUROC_LIMIT.max(if self.unseen.is_empty() { PAIRS / found.pairs.max(1) as f64 } else { 0.0 });
        if let (Some(found), Some(float)) = (report.image_auroc, report.float_image_auroc)
            && float - found > limit
        {
            let gate = Gate { limit: limit as f32, ..form.gate };
            return Err(gate.refusal(&name, "the image AUROC", (float - found) as f32));
        }
        Ok(())
    }
}

/// Scores all references, calibration images (every so many) and unseen images.
fn scores(
    run: &Run,
    (unseen, every): (&[Sample], usize),
    scorer: &mut dyn Scorer,
    title: &'static str,
    progress: Progress<'_>,
) -> Result<Scores> {
    let info = &run.info;
    let total = info.references.len() + info.calibration.len().div_ceil(every) + unseen.len();
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
    let calibration: Vec<f32> = info.calibration.iter().step_by(every).map(scored).collect::<Result<_>>()?;
    if !unseen.is_empty() {
        let figures = evaluate(scorer, unseen, None, &mut tick)?.figures;
        let pairs = figures.good * figures.anomalous;
        return Ok(Scores { references, calibration, every, auroc: figures.image_auroc, pairs });
    }
    let kinds = info.references.iter().map(|reference| reference.kind);
    let anomalous = kinds.zip(&references).filter(|(kind, _)| *kind == ReferenceKind::Anomalous).map(|(_, score)| *score);
    let ranked: Vec<f32> = calibration.iter().copied().chain(anomalous).collect();
    let labels: Vec<bool> = (0..ranked.len()).map(|i| i >= calibration.len()).collect();
    let ranking = Ranking::new(&ranked, &labels).map_err(|error| detector::Error::invalid(error.to_string()))?;
    let pairs = calibration.len() * (ranked.len() - calibration.len());
    Ok(Scores { auroc: ranking.auroc(), pairs, references, calibration, every })
}
