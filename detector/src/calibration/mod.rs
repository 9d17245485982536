//! From scores of good images to a threshold with a stated false-reject rate.

mod gap;
mod outliers;
mod tail;

pub use gap::{Gap, Place};
pub use outliers::FarOut;
pub use tail::TailEstimate;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Fewest good images that a threshold is computed from.
pub const FEWEST: usize = 5;
/// Levels whose quantiles are stored.
const LEVELS: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

/// A threshold and how sure it is: an image is anomalous when its score is *above* the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// In the units of scores.
    pub threshold: f32,
    /// Share of good parts that is rejected at most, on average over calibration sets, if future good parts are like those of the
    /// calibration (split-conformal prediction; Vovk et al., "Algorithmic Learning in a Random World", 2005). Of an estimated threshold it is
    /// a count and no promise: the share of the calibration images above the threshold, with the next image counted among them.
    pub false_reject_rate: f64,
    /// The false-reject rate that was asked for. A threshold that the images support rejects about this share.
    pub requested_rate: f64,
    /// Number of good images.
    pub images: usize,
    /// `[level, score]` of the good images' scores.
    pub good_quantiles: Vec<[f64; 2]>,
    /// The estimate that the threshold comes from, where the images are too few for the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<TailEstimate>,
    /// The gap between good images and anomalous samples, where they are clearly apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Whether the threshold lies in the gap.
    #[serde(default, skip_serializing_if = "Place::is_rate")]
    pub place: Place,
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

/// The threshold that rejects this share of good parts.
///
/// With [`images_needed`] images or more it lies at place `(n + 1) (1 - rate)` among the sorted scores, interpolated between the two
/// scores next to it. The mean share above the k-th of n scores is `1 - k / (n + 1)`, so the threshold rejects about the rate, and at most
/// the share of the lower of both. With fewer images it is estimated ([`TailEstimate`]); with fewer than [`TailEstimate`] needs it is the
/// largest score.
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
    let supported = n >= images_needed(requested_rate);
    let estimate = if supported { None } else { TailEstimate::of(scores, requested_rate) };
    let threshold = match &estimate {
        Some(estimate) => estimate.threshold as f32,
        None => at_place(&sorted, (n + 1) as f64 * (1.0 - requested_rate)),
    };
    // Scores up to the threshold; the next good part is above each place among all n + 1 equally often.
    let below = sorted.partition_point(|score| !is_anomalous(*score, threshold));
    let level = |level: f64| [level, f64::from(sorted[(level * (n - 1) as f64).round() as usize])];
    Ok(Calibration {
        threshold,
        false_reject_rate: (n + 1 - below) as f64 / (n + 1) as f64,
        requested_rate,
        images: n,
        good_quantiles: LEVELS.map(level).to_vec(),
        estimate,
        gap: None,
        place: Place::Rate,
    })
}

/// A share in per cent, with at most two decimals.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The value at a place from 1 to n among sorted values, interpolated; the first or the last one beyond.
fn at_place(sorted: &[f32], place: f64) -> f32 {
    let last = sorted.len() as f64;
    // A place a hair beside a whole number is that number: 20 * (1 - 0.05) is 19.000000000000004.
    let place = if (place - place.round()).abs() < 1e-9 { place.round() } else { place }.clamp(1.0, last);
    let (lower, upper) = (sorted[place.floor() as usize - 1], sorted[place.ceil() as usize - 1]);
    (f64::from(lower) + (f64::from(upper) - f64::from(lower)) * place.fract()) as f32
}

impl Calibration {
    /// Whether there were enough images for the rate that was asked for.
    pub fn is_supported(&self) -> bool {
        self.images >= images_needed(self.requested_rate)
    }

    /// Whether a score is above the threshold.
    pub fn is_anomalous(&self, score: f32) -> bool {
        is_anomalous(score, self.threshold)
    }

    /// Looks for a gap between the good images' scores and those of anomalous samples, and puts the threshold into it if that is wished and
    /// there is one.
    #[must_use]
    pub fn with_samples(self, good: &[f32], anomalous: &[f32], place: Place) -> Calibration {
        let gap = Gap::between(good, anomalous);
        match gap {
            Some(found) if place == Place::Gap => {
                let false_reject_rate = 1.0 / (self.images + 1) as f64;
                Calibration { threshold: found.middle(), false_reject_rate, estimate: None, gap, place, ..self }
            }
            _ => Calibration { gap, ..self },
        }
    }

    /// The gap that the threshold could lie in, in words; none where there is no gap, or the threshold lies in it.
    pub fn describe_gap(&self) -> Option<String> {
        let gap = self.gap.filter(|_| self.place == Place::Rate)?;
        Some(format!(
            "good images and anomalous samples are clearly apart: {} good images score at most {:.4}, {} samples at least {:.4}; with \
             calibration.place = \"gap\" in the recipe the threshold would be {:.4}",
            self.images,
            gap.good,
            gap.samples,
            gap.anomalous,
            gap.middle()
        ))
    }

    /// How sure the threshold is, in words.
    pub fn describe(&self) -> String {
        let Calibration { requested_rate, images, .. } = *self;
        if let (Some(gap), Place::Gap) = (&self.gap, self.place) {
            return format!(
                "in the middle of the gap between {images} good images (at most {:.4}) and {} anomalous samples (at least {:.4}); on average \
                 at most {} of good parts are rejected",
                gap.good,
                gap.samples,
                gap.anomalous,
                percent(self.false_reject_rate)
            );
        }
        let (asked, at_most) = (percent(requested_rate), percent(self.false_reject_rate));
        let needed = images_needed(requested_rate);
        match &self.estimate {
            Some(TailEstimate { low, high, .. }) => format!(
                "an estimate and no promise: {images} good images are too few to reject {asked} of good parts, which takes at least {needed}; \
                 if higher scores are as rare as the highest ones suggest, the threshold for {asked} lies between {low:.4} and {high:.4} \
                 (90 % confidence)"
            ),
            None if !self.is_supported() => format!(
                "the largest score of {images} good images: on average at most {at_most} of good parts are rejected; {asked} were asked \
                 for, which takes at least {needed}"
            ),
            None if self.false_reject_rate <= requested_rate + 1e-9 => {
                format!("on average at most {at_most} of good parts like the {images} of its calibration are rejected")
            }
            None => {
                format!(
                    "about {asked} of good parts like the {images} of its calibration are rejected, on average at most {at_most}"
                )
            }
        }
    }

    /// Checks what may come from a file.
    ///
    /// # Errors
    /// When a value is out of bounds.
    pub fn validate(&self) -> Result<()> {
        let rates = [self.false_reject_rate, self.requested_rate];
        let sound = self.threshold.is_finite()
            && rates.iter().all(|rate| (0.0..=1.0).contains(rate))
            && self.good_quantiles.iter().flatten().all(|value| value.is_finite())
            && self.estimate.is_none_or(|estimate| estimate.is_finite())
            && self.gap.is_none_or(|gap| gap.is_sound());
        if sound { Ok(()) } else { Err(Error::invalid("calibration holds values out of bounds")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn between_two_scores_the_threshold_is_interpolated() {
        // Place 268 * 0.99 = 265.32 among 267 scores.
        let scores: Vec<f32> = (1..=267).map(|i| i as f32).collect();
        let calibration = calibrate(&scores, 0.01).unwrap();
        assert!((calibration.threshold - 265.32).abs() < 1e-3, "{calibration:?}");
        assert!(calibration.is_supported() && calibration.estimate.is_none());
        assert!((calibration.false_reject_rate - 3.0 / 268.0).abs() < 1e-12);
    }

    #[test]
    fn too_few_images_give_an_estimate_and_still_fewer_their_largest_score() {
        let mut scores: Vec<f32> = (0..39).map(|i| i as f32 / 39.0).collect();
        scores.push(9.0);
        let calibration = calibrate(&scores, 0.01).unwrap();
        let estimate = calibration.estimate.unwrap();
        assert!(!calibration.is_supported() && f64::from(calibration.threshold) <= estimate.high);
        assert!(calibration.threshold < 5.0, "one score that lies far out does not set the threshold: {calibration:?}");
        assert!((calibration.false_reject_rate - 2.0 / 41.0).abs() < 1e-12, "the largest score and the next image");
        let few = calibrate(&scores[31..], 0.01).unwrap();
        assert_eq!((few.threshold, few.estimate), (9.0, None));
        assert!(!few.is_supported() && (few.false_reject_rate - 0.1).abs() < 1e-12);
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
    fn the_description_says_what_is_sure() {
        let described = |n: u8, rate: f64| {
            let scores: Vec<f32> = (0..n).map(f32::from).collect();
            calibrate(&scores, rate).unwrap().describe()
        };
        assert!(described(19, 0.05).starts_with("on average at most 5 % of good parts"), "{}", described(19, 0.05));
        assert!(described(110, 0.05).starts_with("about 5 % of good parts like the 110"), "{}", described(110, 0.05));
        assert!(described(110, 0.05).ends_with("at most 5.41 %"), "{}", described(110, 0.05));
        let estimate = described(40, 0.01);
        assert!(estimate.starts_with("an estimate and no promise") && estimate.contains("at least 99"), "{estimate}");
        let largest = described(9, 0.01);
        assert!(
            largest.contains("at most 10 %") && largest.contains("1 % were asked for") && largest.contains("at least 99"),
            "{largest}"
        );
    }

    #[test]
    fn a_gap_is_told_and_taken_only_where_it_is_wished() {
        let good: Vec<f32> = (0..31).map(|i| 2.0 + i as f32 / 30.0).collect();
        let samples = [5.0, 6.0, 7.0, 5.5, 9.0];
        let placed = |samples: &[f32], place| calibrate(&good, 0.01).unwrap().with_samples(&good, samples, place);
        let by_rate = placed(&samples, Place::Rate);
        assert_eq!(by_rate.threshold, calibrate(&good, 0.01).unwrap().threshold);
        let told = by_rate.describe_gap().unwrap();
        assert!(told.contains("at most 3.0000") && told.contains("would be 4.0000"), "{told}");
        let in_gap = placed(&samples, Place::Gap);
        assert_eq!((in_gap.threshold, in_gap.estimate, in_gap.describe_gap()), (4.0, None, None));
        assert!(in_gap.describe().contains("middle of the gap") && in_gap.describe().contains("3.12 %"), "{}", in_gap.describe());
        let overlapping = placed(&[2.5, 6.0, 7.0, 5.5, 9.0], Place::Gap);
        assert_eq!((overlapping.gap, overlapping.place), (None, Place::Rate));
        assert!(in_gap.validate().is_ok());
        let reversed = Gap { good: 5.0, anomalous: 3.0, samples: 5 };
        assert!(Calibration { gap: Some(reversed), ..in_gap }.validate().is_err());
    }

    #[test]
    fn nineteen_images_support_five_percent() {
        let scores: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let calibration = calibrate(&scores, 0.05).unwrap();
        assert_eq!(calibration.threshold, 18.0);
        assert!(calibration.is_supported());
    }

    /// Over many draws the mean share of rejected good parts is about the rate that was asked for, and not above the promise.
    #[test]
    fn the_rate_holds_on_average() {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| random.random::<f32>().powi(3)).collect() };
        for (n, rate) in [(30, 0.1), (35, 0.1), (99, 0.05), (110, 0.05)] {
            let (mut rejected, mut seen, mut promised) = (0, 0, 0.0);
            for _ in 0..2000 {
                let calibration = calibrate(&draw(n), rate).unwrap();
                let future = draw(50);
                rejected += future.iter().filter(|score| calibration.is_anomalous(**score)).count();
                seen += future.len();
                promised = calibration.false_reject_rate;
            }
            let measured = rejected as f64 / f64::from(seen as u32);
            assert!((measured - rate).abs() < 0.006 && measured <= promised + 0.003, "{n}: {measured} {rate} {promised}");
        }
    }

    /// The scores of a product's good images have tails between those of a normal and a log-normal distribution.
    #[test]
    fn an_estimated_threshold_rejects_a_few_per_cent_at_most() {
        let mut random = rand::rngs::StdRng::seed_from_u64(2);
        // The sum of twelve uniform numbers is nearly normal.
        let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let shapes: [fn(f64) -> f64; 2] = [|z| z + 5.0, |z| (0.3 * z).exp()];
        for (shape, n) in shapes.into_iter().flat_map(|shape| [(shape, 12), (shape, 31), (shape, 60)]) {
            let mut rejected = 0;
            for _ in 0..1000 {
                let scores: Vec<f32> = (0..n).map(|_| shape(normal()) as f32).collect();
                let calibration = calibrate(&scores, 0.01).unwrap();
                rejected += (0..20).filter(|_| calibration.is_anomalous(shape(normal()) as f32)).count();
            }
            let measured = rejected as f64 / 20_000.0;
            assert!((0.0005..0.03).contains(&measured), "{n}: {measured}");
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
            let (low, high) = (scores.iter().copied().fold(f32::MAX, f32::min), scores.iter().copied().fold(f32::MIN, f32::max));
            prop_assert!(calibration.estimate.is_some() || (low..=high).contains(&calibration.threshold));
            prop_assert!(calibration.is_supported() == ((scores.len() + 1) as f64 * rate >= 1.0 - 1e-9));
        }
    }
}
