//! From scores of good images to a threshold with a stated false-reject rate.

mod tail;

pub use tail::TailEstimate;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Fewest good images that a threshold is computed from.
pub const FEWEST: usize = 5;
/// Levels whose quantiles are stored.
const LEVELS: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

/// A threshold and what it promises: an image is anomalous when its score is *above* the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// In the units of scores.
    pub threshold: f32,
    /// Share of good parts that may be rejected, on average over calibration sets, if future good parts are like those of the
    /// calibration (split-conformal prediction; Vovk et al., "Algorithmic Learning in a Random World", 2005).
    pub false_reject_rate: f64,
    /// The false-reject rate that was asked for. It is lower than the promised rate if there were too few images to support it.
    pub requested_rate: f64,
    /// Number of held-out good images.
    pub images: usize,
    /// `[level, score]` of the good images' scores.
    pub good_quantiles: Vec<[f64; 2]>,
}

/// Whether a score is anomalous: above the threshold. A score equal to the threshold is good, and so is one that is not a number. Nothing
/// else in this workspace compares a score with a threshold.
pub fn is_anomalous(score: f32, threshold: f32) -> bool {
    score > threshold
}

/// The fewest good images from which a threshold can promise a false-reject rate: `(n + 1) rate >= 1`, and never fewer than [`FEWEST`].
pub fn images_needed(rate: f64) -> usize {
    // A hair less than exact, as in `calibrate`, so that rounding never asks for one image more.
    ((1.0 / rate - 1.0 - 1e-9).ceil().max(0.0) as usize).max(FEWEST)
}

/// The smallest threshold that supports the rate: the k-th smallest score, `k = ceil((n + 1) (1 - rate))`. With fewer than
/// [`images_needed`] images no threshold supports the rate: then the largest score is the threshold, and it promises `1 / (n + 1)`.
///
/// # Errors
/// With fewer than [`FEWEST`] scores, scores that are not finite, or a rate outside 0..1.
pub fn calibrate(scores: &[f32], requested_rate: f64) -> Result<Calibration> {
    if !(requested_rate > 0.0 && requested_rate < 1.0) {
        return Err(Error::invalid(format!("false_reject_rate is {requested_rate}; a share between 0 and 1 was expected")));
    }
    let n = scores.len();
    if n < FEWEST {
        return Err(Error::invalid(format!(
            "{n} good images to calibrate on; at least {FEWEST} are needed: add good images or raise calibration_share"
        )));
    }
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(Error::invalid("a good image's score is not a finite number"));
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    // A hair less than exact, so that (n + 1)(1 - rate) = 19.000000000000004 still means 19.
    let rank = ((n + 1) as f64 * (1.0 - requested_rate) - 1e-9).ceil() as usize;
    let rank = rank.clamp(1, n);
    let level = |level: f64| [level, f64::from(sorted[(level * (n - 1) as f64).round() as usize])];
    Ok(Calibration {
        threshold: sorted[rank - 1],
        false_reject_rate: (n + 1 - rank) as f64 / (n + 1) as f64,
        requested_rate,
        images: n,
        good_quantiles: LEVELS.map(level).to_vec(),
    })
}

impl Calibration {
    /// Whether there were enough images for the rate that was asked for.
    pub fn is_supported(&self) -> bool {
        self.false_reject_rate <= self.requested_rate + 1e-12
    }

    /// Whether a score is above the threshold.
    pub fn is_anomalous(&self, score: f32) -> bool {
        is_anomalous(score, self.threshold)
    }

    /// Checks what may come from a file.
    ///
    /// # Errors
    /// When a value is out of bounds.
    pub fn validate(&self) -> Result<()> {
        let rates = [self.false_reject_rate, self.requested_rate];
        let sound = self.threshold.is_finite()
            && rates.iter().all(|rate| (0.0..=1.0).contains(rate))
            && self.good_quantiles.iter().flatten().all(|value| value.is_finite());
        if sound { Ok(()) } else { Err(Error::invalid("calibration holds values out of bounds")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn too_few_images_are_admitted() {
        let scores: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let calibration = calibrate(&scores, 0.01).unwrap();
        assert_eq!(calibration.threshold, 39.0);
        assert!((calibration.false_reject_rate - 1.0 / 41.0).abs() < 1e-12);
        assert!(!calibration.is_supported());
        assert!(calibrate(&scores[..4], 0.01).is_err());
        assert!(calibrate(&scores, 0.0).is_err());
        assert!(calibrate(&[f32::NAN; 9], 0.1).is_err());
    }

    #[test]
    fn the_images_needed_support_the_rate_and_one_fewer_does_not() {
        for (rate, images) in [(0.01, 99), (0.05, 19), (0.001, 999), (0.03, 33), (0.5, FEWEST), (0.9, FEWEST)] {
            assert_eq!(images_needed(rate), images, "{rate}");
            let scores: Vec<f32> = (0..images).map(|i| i as f32).collect();
            assert!(calibrate(&scores, rate).unwrap().is_supported());
            let fewer = calibrate(&scores[1..], rate);
            assert!(fewer.is_err() || !fewer.unwrap().is_supported(), "{rate}");
        }
    }

    #[test]
    fn only_a_score_above_the_threshold_is_anomalous() {
        assert!(is_anomalous(1.0 + f32::EPSILON, 1.0));
        assert!(!is_anomalous(1.0, 1.0));
        assert!(!is_anomalous(f32::NAN, 1.0) && !is_anomalous(1.0, f32::NAN));
    }

    #[test]
    fn nineteen_images_support_five_percent() {
        let scores: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let calibration = calibrate(&scores, 0.05).unwrap();
        assert_eq!(calibration.threshold, 18.0);
        assert!(calibration.is_supported());
    }

    /// The promise itself: over many draws the mean share of rejected good parts is not above the promised rate.
    #[test]
    fn the_promise_holds_on_average() {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| random.random::<f32>().powi(3)).collect() };
        for (n, rate) in [(30, 0.1), (99, 0.05)] {
            let (mut rejected, mut seen, mut promised) = (0, 0, 0.0);
            for _ in 0..2000 {
                let calibration = calibrate(&draw(n), rate).unwrap();
                let future = draw(50);
                rejected += future.iter().filter(|score| calibration.is_anomalous(**score)).count();
                seen += future.len();
                promised = calibration.false_reject_rate;
            }
            let measured = rejected as f64 / f64::from(seen as u32);
            assert!(measured <= promised + 0.006 && measured >= promised - 0.02, "{measured} {promised}");
        }
    }

    proptest! {
        #[test]
        fn at_most_the_promised_share_of_the_calibration_images_is_rejected(
            scores in prop::collection::vec(0.0f32..100.0, 5..200), rate in 0.001f64..0.5
        ) {
            let calibration = calibrate(&scores, rate).unwrap();
            let rejected = scores.iter().filter(|score| calibration.is_anomalous(**score)).count();
            prop_assert!(rejected as f64 <= calibration.false_reject_rate * (scores.len() + 1) as f64 + 1e-9);
            prop_assert!(calibration.is_supported() == ((scores.len() + 1) as f64 * rate >= 1.0 - 1e-9));
        }
    }
}
