//! The miss rate to expect for new kinds of defects.

use detector::calibration::{calibrate, is_anomalous};
use detector::picture::Picture;
use detector::run::{Run, SplitImage, Use};
use detector::scorer::Scorer;
use detector::{Error, files};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::progress::Progress;

/// Probability beyond each bound of the interval: 90 % lie between both.
const TAIL: f64 = 0.05;

/// False-reject rates of [`choices`].
const RATES: [f64; 5] = [0.001, 0.005, 0.01, 0.02, 0.05];

/// How many of the run's anomalous samples a detector that has not learned from them would miss: the expectation for new kinds of defects.
/// Defects like the samples are missed less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedMisses {
    /// Number of anomalous samples.
    pub samples: usize,
    /// Samples that score no more than the threshold.
    pub missed: usize,
    /// Lower bound of the miss rate's 90 % confidence interval (Clopper and Pearson, Biometrika 26, 1934), if new defects are like the
    /// samples.
    pub low: f64,
    /// Upper bound of that interval.
    pub high: f64,
}

/// Scores of the samples by the scorer of a detector that has learned nothing from them.
///
/// # Errors
/// When a sample cannot be read or scored.
pub fn scores(run: &Run, samples: &[SplitImage], scorer: &mut dyn Scorer, progress: Progress<'_>) -> Result<Vec<f32>> {
    let mut scores = Vec::with_capacity(samples.len());
    for image in samples {
        let path = run.info.data.join(&image.path);
        let scored = scorer.score(&Picture::read(&path)?).map_err(|error| Error::file(&path, error.to_string()))?;
        scores.push(scored.score);
        progress("anomalous samples", scores.len(), samples.len());
    }
    Ok(scores)
}

/// False rejects against misses: what another false-reject rate would mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Share of good parts that the threshold rejects.
    pub rate: f64,
    /// The threshold.
    pub threshold: f32,
    /// Whether the good images are too few for the rate, so that the threshold is an estimate or the largest score.
    pub estimated: bool,
    /// What is missed at this threshold by distance alone: the expectation for new kinds of defects.
    pub misses: ExpectedMisses,
    /// What is missed with defect heads that have not learned from the sample: the expectation for defects like the samples; none without
    /// such heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like_samples: Option<ExpectedMisses>,
}

/// The choices at [`RATES`], from scores of good images and of anomalous samples: by distance alone, and by heads that have not learned from
/// them.
///
/// # Errors
/// As [`calibrate`].
pub fn choices(good: &[f32], by_distance: &[f32], by_heads: &[f32]) -> Result<Vec<Choice>> {
    // A lower rate has no lower threshold: an estimate may lie below a score that is far out, which sets the threshold of a higher rate.
    let mut least = f32::NEG_INFINITY;
    let choice = |rate| {
        let calibration = calibrate(good, rate)?;
        let (threshold, estimated) = (calibration.threshold.max(least), !calibration.is_supported());
        least = threshold;
        let like_samples = (!by_heads.is_empty()).then(|| ExpectedMisses::at(by_heads, threshold));
        Ok(Choice { rate, threshold, estimated, misses: ExpectedMisses::at(by_distance, threshold), like_samples })
    };
    let mut choices: Vec<Choice> = RATES.into_iter().rev().map(choice).collect::<Result<_>>()?;
    choices.reverse();
    Ok(choices)
}

impl ExpectedMisses {
    /// Counts the samples that score no more than a threshold.
    pub fn at(scores: &[f32], threshold: f32) -> ExpectedMisses {
        let missed = scores.iter().filter(|score| !is_anomalous(**score, threshold)).count();
        ExpectedMisses::new(scores.len(), missed)
    }

    fn new(samples: usize, missed: usize) -> ExpectedMisses {
        // The rate at which so few (or so many) misses are as rare as a tail; found by halving.
        let bound = |is_too_small: &dyn Fn(f64) -> bool| {
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..50 {
                let middle = (low + high) / 2.0;
                if is_too_small(middle) { low = middle } else { high = middle }
            }
            (low + high) / 2.0
        };
        let low = if missed == 0 { 0.0 } else { bound(&|rate| 1.0 - at_most(missed - 1, samples, rate) < TAIL) };
        let high = if missed == samples { 1.0 } else { bound(&|rate| at_most(missed, samples, rate) > TAIL) };
        ExpectedMisses { samples, missed, low, high }
    }
}

/// The run's anomalous samples; none where one of them is missing or has changed since.
///
/// # Errors
/// When the run's split is missing or malformed.
pub fn samples(run: &Run) -> Result<Vec<SplitImage>> {
    let mut samples = run.split()?.images;
    samples.retain(|image| image.r#use == Use::Anomalous);
    let is_there =
        |image: &SplitImage| files::sha256_file(&run.info.data.join(&image.path)).is_ok_and(|found| found == image.sha256);
    Ok(if samples.iter().all(is_there) { samples } else { Vec::new() })
}

/// Probability of at most so many misses among so many samples, where each is missed at this rate.
fn at_most(missed: usize, samples: usize, rate: f64) -> f64 {
    let mut term = (samples as f64 * (1.0 - rate).ln()).exp();
    let mut sum = term;
    for i in 1..=missed {
        term *= (samples + 1 - i) as f64 / i as f64 * rate / (1.0 - rate);
        sum += term;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_rate_misses_no_more() {
        let good: Vec<f32> = (0..200).map(|i| i as f32).collect();
        let choices = choices(&good, &[150.0, 196.5, 198.5, 400.0], &[400.0, 500.0]).unwrap();
        assert!(choices.iter().all(|choice| choice.like_samples.unwrap().missed == 0));
        assert_eq!(choices.iter().map(|choice| choice.estimated).collect::<Vec<_>>(), [true, false, false, false, false]);
        assert_eq!(choices[1..].iter().map(|choice| choice.misses.missed).collect::<Vec<_>>(), [3, 2, 1, 1]);
        assert!(choices.is_sorted_by(|a, b| a.threshold >= b.threshold && a.misses.missed >= b.misses.missed));
    }

    #[test]
    fn a_score_far_out_does_not_turn_thresholds_round() {
        let mut good: Vec<f32> = (0..200).map(|i| 2.0 + i as f32 / 1000.0).collect();
        good[7] = 9.0;
        let choices = choices(&good, &[3.0], &[]).unwrap();
        assert!(choices[0].estimated && choices.is_sorted_by(|a, b| a.threshold >= b.threshold), "{choices:?}");
    }

    /// Bounds of 0 of 10 and 10 of 10 have closed forms; the others by their definition.
    #[test]
    fn the_interval_is_clopper_and_pearsons() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        let none = ExpectedMisses::new(10, 0);
        close(none.low, 0.0);
        close(none.high, 1.0 - 0.05f64.powf(0.1));
        let all = ExpectedMisses::new(10, 10);
        close(all.low, 0.05f64.powf(0.1));
        close(all.high, 1.0);
        let some = ExpectedMisses::new(10, 3);
        close(at_most(3, 10, some.high), 0.05);
        close(1.0 - at_most(2, 10, some.low), 0.05);
        assert!(some.low < 0.3 && some.high > 0.3);
        // By counting all outcomes of three throws.
        close(at_most(1, 3, 0.25), 0.75f64.powi(3) + 3.0 * 0.25 * 0.75f64.powi(2));
    }
}
