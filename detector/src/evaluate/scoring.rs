//! Scoring a data set and computing its figures.

use std::time::Duration;

use super::figures::{Figures, Latency};
use super::pixels::rank_pixels;
use super::result::{Evaluation, ImageResult};
use crate::calibration::Calibration;
use crate::dataset::Sample;
use crate::metrics::{AUPRO_FPR_LIMIT, MetricsError, PixelRanking, Ranking};
use crate::picture::{self, Picture};
use crate::preprocess::Preprocess;
use crate::scorer::Scorer;
use crate::{Error, Result};

/// Scores every sample. `calibration` is none if no threshold exists yet; `progress` is called after each image.
///
/// # Errors
/// When there are no samples, or an image or mask cannot be read or does not fit.
pub fn evaluate(
    scorer: &mut dyn Scorer,
    samples: &[Sample],
    calibration: Option<&Calibration>,
    progress: &mut dyn FnMut(),
) -> Result<Evaluation> {
    if samples.is_empty() {
        return Err(Error::invalid("no images to evaluate on that training and calibration have not seen"));
    }
    let rule = scorer.preprocess().clone();
    let mut images = Vec::with_capacity(samples.len());
    for sample in samples {
        let picture = Picture::read(&sample.path)?;
        picture.expect_colour(rule.colour, &sample.path)?;
        let mask = mask_of(sample, &picture, &rule)?;
        let scored = scorer.score(&picture).map_err(Error::at(&sample.path))?;
        let anomalous = calibration.map(|calibration| calibration.is_anomalous(scored.score));
        images.push(ImageResult { sample: sample.clone(), scored, anomalous, mask });
        progress();
    }
    let figures = figures(&images, calibration, scorer.engine()).map_err(Error::Metrics)?;
    Ok(Evaluation { figures, images })
}

/// Good images have an empty mask.
fn mask_of(sample: &Sample, picture: &Picture, rule: &Preprocess) -> Result<Option<Vec<bool>>> {
    let input = rule.input();
    if !sample.is_anomalous() {
        return Ok(Some(vec![false; input.width as usize * input.height as usize]));
    }
    let Some(path) = &sample.mask else { return Ok(None) };
    let mask = picture::read_mask(path)?;
    let ((mask_width, mask_height), (width, height)) = (mask.dimensions(), picture.pixels.dimensions());
    if mask.dimensions() != picture.pixels.dimensions() {
        let image = sample.path.display();
        return Err(Error::file(
            path,
            format!("is {mask_width}x{mask_height} px; a mask of {width}x{height} px was expected, the size of {image}"),
        ));
    }
    rule.prepare_mask(&mask).map(Some)
}

fn figures(
    images: &[ImageResult],
    calibration: Option<&Calibration>,
    engine: &str,
) -> std::result::Result<Figures, MetricsError> {
    let truth: Vec<bool> = images.iter().map(|image| image.sample.is_anomalous()).collect();
    let scores: Vec<f32> = images.iter().map(|image| image.scored.score).collect();
    let ranking = Ranking::new(&scores, &truth)?;
    let decisions = calibration.map(|calibration| ranking.at(calibration.threshold));
    let pixels = rank_pixels(images)?;
    let aupro = pixels.as_ref().map(|pixels| pixels.aupro(AUPRO_FPR_LIMIT)).transpose()?.flatten();
    let pixels = pixels.as_ref().map(PixelRanking::pixels);
    let times: Vec<Duration> = images.iter().map(|image| image.scored.times.total()).collect();
    Ok(Figures {
        images: images.len(),
        good: ranking.good(),
        anomalous: ranking.anomalous(),
        image_auroc: ranking.auroc(),
        image_f1: ranking.best_f1().map(|best| best.f1),
        pixel_auroc: pixels.and_then(Ranking::auroc),
        pixel_f1: pixels.and_then(Ranking::best_f1).map(|best| best.f1),
        aupro,
        false_reject_rate: decisions.and_then(|decisions| decisions.false_reject_rate()),
        miss_rate: decisions.and_then(|decisions| decisions.miss_rate()),
        engine: engine.into(),
        latency_ms: Latency::of(&times),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Enlarger, PatchScores, Smoothing};
    use crate::preprocess::Rect;
    use crate::scorer::Scored;

    fn result(defect: Option<&str>, score: f32, map: Vec<f32>, mask: Option<Vec<bool>>) -> ImageResult {
        let content = Rect { x: 0, y: 0, width: 2, height: 2 };
        let enlarger = Enlarger::new((2, 2), (2, 2), Smoothing { sigma: 0.0, ..Smoothing::default() });
        let patches = PatchScores::new(map, content, enlarger.into());
        let sample = Sample { path: "x.png".into(), defect: defect.map(Into::into), mask: None };
        ImageResult { sample, scored: Scored { score, times: Default::default(), patches }, anomalous: None, mask }
    }

    #[test]
    fn a_score_at_the_threshold_is_good() {
        let images = [
            result(None, 1.0, vec![0.1; 4], Some(vec![false; 4])),
            result(Some("crack"), 2.0, vec![0.9, 0.1, 0.1, 0.1], Some(vec![true, false, false, false])),
        ];
        let scores: Vec<f32> = (0..9).map(|i| 1.0 - i as f32 * 0.1).collect();
        let calibration = crate::calibration::calibrate(&scores, 0.1).unwrap();
        assert_eq!(calibration.threshold, 1.0);
        let figures = figures(&images, Some(&calibration), "tract").unwrap();
        assert_eq!((figures.false_reject_rate, figures.miss_rate), (Some(0.0), Some(0.0)));
        assert_eq!((figures.image_auroc, figures.pixel_auroc, figures.pixel_f1), (Some(1.0), Some(1.0), Some(1.0)));
    }

    #[test]
    fn without_masks_pixel_figures_are_null() {
        let images = [result(None, 1.0, vec![0.1; 4], Some(vec![false; 4])), result(Some("crack"), 2.0, vec![0.9; 4], None)];
        let figures = figures(&images, None, "tract").unwrap();
        assert_eq!((figures.pixel_auroc, figures.aupro, figures.miss_rate), (None, None, None));
        assert_eq!(figures.image_auroc, Some(1.0));
    }
}
