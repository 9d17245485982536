//! A bundle on a data set: its figures, and the figures of this site's threshold on the same images.

use config::{Config, SeatId};
use detector::calibration::Calibration;
use detector::dataset::Sample;
use detector::evaluate::{Evaluation, evaluate as score_all};
use detector::{Detector, Result};
use serde::Serialize;
use store::site::{self, SiteError};

/// Figures at a site's own threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SiteFigures {
    /// The site's threshold.
    pub threshold: f32,
    /// The false-reject rate that its calibration promises, 0 to 1.
    pub promised_false_reject_rate: f64,
    /// Share of good images above it, 0 to 1; `None` where there is no good image.
    pub false_reject_rate: Option<f64>,
    /// Share of anomalous images not above it, 0 to 1; `None` where there is no anomalous image.
    pub miss_rate: Option<f64>,
}

impl SiteFigures {
    /// Judges the images of an evaluation once more, with a site's calibration.
    pub fn of(calibration: &Calibration, evaluation: &Evaluation) -> SiteFigures {
        let images = evaluation.images.iter().map(|image| (image.sample.is_anomalous(), image.scored.score));
        let (false_reject_rate, miss_rate) = wrong_shares(calibration, images);
        SiteFigures {
            threshold: calibration.threshold,
            promised_false_reject_rate: calibration.false_reject_rate,
            false_reject_rate,
            miss_rate,
        }
    }
}

/// Shares of good and of anomalous images that get the wrong verdict. Each image is its truth (whether it is anomalous) and its score.
fn wrong_shares(calibration: &Calibration, images: impl Iterator<Item = (bool, f32)>) -> (Option<f64>, Option<f64>) {
    // Images and wrong verdicts, of good and of anomalous images.
    let (mut images_of, mut wrong_of) = ([0u32; 2], [0u32; 2]);
    for (is_anomalous, score) in images {
        let class = usize::from(is_anomalous);
        images_of[class] += 1;
        wrong_of[class] += u32::from(calibration.is_anomalous(score) != is_anomalous);
    }
    let share = |class: usize| (images_of[class] > 0).then(|| f64::from(wrong_of[class]) / f64::from(images_of[class]));
    (share(0), share(1))
}

/// Scores every sample at the bundle's threshold. `progress` is called after each image.
///
/// # Errors
/// When there are no samples, or an image or mask cannot be read or does not fit.
pub fn evaluate(detector: &mut Detector, samples: &[Sample], progress: &mut dyn FnMut()) -> Result<Evaluation> {
    let calibration = detector.calibration.clone();
    score_all(detector.scorer(), samples, Some(&calibration), progress)
}

/// The calibration that `apc-runtime calibrate` made for the first view of a line configuration, with the product that the line begins
/// with; `None` where there is none.
///
/// # Errors
/// When the calibration cannot be read, or was made with something else than this detector.
pub fn site_calibration(config: &Config, detector: &Detector) -> std::result::Result<Option<Calibration>, SiteError> {
    let seat = SeatId { product: config.first_product(), view: 0 };
    Ok(site::of(config, detector, seat)?.map(|overlay| overlay.calibration))
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::calibration::calibrate;

    #[test]
    fn each_class_has_its_own_share_of_wrong_verdicts() {
        let scores: Vec<f32> = (0..9).map(|i| 1.0 - i as f32 * 0.1).collect();
        let calibration = calibrate(&scores, 0.1).unwrap();
        assert_eq!(calibration.threshold, 1.0);
        // A score at the threshold is good.
        let images = [(false, 0.5), (false, 1.0), (false, 1.5), (false, 0.1), (true, 1.0), (true, 3.0)];
        assert_eq!(wrong_shares(&calibration, images.into_iter()), (Some(0.25), Some(0.5)));
        assert_eq!(wrong_shares(&calibration, images.into_iter().take(2)), (Some(0.0), None));
        assert_eq!(wrong_shares(&calibration, images.into_iter().skip(5)), (None, Some(0.0)));
    }
}
