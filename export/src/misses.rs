//! The miss rate to expect for new kinds of defects.

use detector::calibration::Calibration;
use detector::picture::Picture;
use detector::run::{Run, SplitImage, Use};
use detector::scorer::Scorer;
use detector::{Error, files};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::progress::Progress;

/// Probability beyond each bound of the interval: 90 % lie between both.
const TAIL: f64 = 0.05;

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

impl ExpectedMisses {
    /// Scores the samples with the scorer of a detector that has learned nothing from them.
    ///
    /// # Errors
    /// When a sample cannot be read or scored.
    pub fn of(
        run: &Run,
        samples: &[SplitImage],
        scorer: &mut dyn Scorer,
        calibration: &Calibration,
        progress: Progress<'_>,
    ) -> Result<ExpectedMisses> {
        let mut missed = 0;
        for (index, image) in samples.iter().enumerate() {
            let path = run.info.data.join(&image.path);
            let scored = scorer.score(&Picture::read(&path)?).map_err(|error| Error::file(&path, error.to_string()))?;
            missed += usize::from(!calibration.is_anomalous(scored.score));
            progress("anomalous samples", index + 1, samples.len());
        }
        Ok(ExpectedMisses::new(samples.len(), missed))
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
