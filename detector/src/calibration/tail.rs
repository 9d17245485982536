//! The tail of the scores beyond the calibration images: an estimate of the threshold when they are too few for a promise.

use serde::{Deserialize, Serialize};

/// Fewest scores that a tail is estimated from.
const FEWEST: usize = 10;
/// Share of all scores that the tail is fitted to, but at least [`LEAST`], and at most half of them.
const SHARE: f64 = 0.2;
/// See [`SHARE`].
const LEAST: usize = 10;
/// 5 % of the standard normal distribution lie above this value.
const Z: f64 = 1.645;

/// An estimate of the threshold for a false-reject rate that there are too few images to promise. It rests on an assumed shape of the
/// tail, not on counting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailEstimate {
    /// Share of good parts above it.
    pub rate: f64,
    /// In the units of scores.
    pub threshold: f64,
    /// Bounds of the 90 % confidence interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Highest scores that the tail was fitted to.
    pub images: usize,
}

impl TailEstimate {
    /// Whether all its values are numbers.
    pub(super) fn is_finite(&self) -> bool {
        [self.rate, self.threshold, self.low, self.high].iter().all(|value| value.is_finite())
    }

    /// The estimate is `u + s ln(k / (n rate))`. `u` is the score after the `k` highest of `n`. The amounts by which those `k` scores
    /// exceed `u` are assumed to be exponentially distributed with mean `s`: the generalised Pareto tail (Pickands, Annals of Statistics
    /// 3, 1975) with shape 0. Scores with a lighter tail get a threshold that is too high rather than too low. Scores with a heavier tail get one
    /// that is too low, and the interval does not show it.
    ///
    /// For the interval, `2 k s` is taken as chi-squared with `2 k` degrees of freedom (Wilson and Hilferty's approximation), and the
    /// variance of `u` as `s² (1/k - 1/n)`. None if there are too few scores, or if they reach the rate without an estimate.
    pub fn of(scores: &[f32], rate: f64) -> Option<TailEstimate> {
        let n = scores.len();
        let images = LEAST.max((n as f64 * SHARE) as usize).min(n / 2);
        let (count, k) = (n as f64, images as f64);
        if n < FEWEST || rate * count >= k || rate <= 0.0 {
            return None;
        }
        let mut sorted: Vec<f64> = scores.iter().copied().map(f64::from).collect();
        sorted.sort_by(f64::total_cmp);
        let (below, above) = sorted.split_at(n - images);
        let from = *below.last()?;
        let mean = above.iter().map(|score| score - from).sum::<f64>() / k;
        let steps = (k / (count * rate)).ln();
        let chi_squared = |z: f64| (1.0 - 1.0 / (9.0 * k) + z / (9.0 * k).sqrt()).powi(3);
        let of_start = Z * mean * (1.0 / k - 1.0 / count).sqrt();
        let reach = |z: f64| (steps * mean * (1.0 / chi_squared(z) - 1.0)).hypot(of_start);
        let threshold = from + mean * steps;
        Some(TailEstimate { rate, threshold, low: threshold - reach(Z), high: threshold + reach(-Z), images })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Shares of draws whose interval holds the truth, and whose estimate is above it.
    fn tried(n: usize, rate: f64, truth: f64, draw: impl Fn(&mut StdRng) -> f64) -> (f64, f64) {
        let mut random = StdRng::seed_from_u64(3);
        let (mut held, mut above) = (0, 0);
        for _ in 0..4000 {
            let scores: Vec<f32> = (0..n).map(|_| draw(&mut random) as f32).collect();
            let found = TailEstimate::of(&scores, rate).unwrap();
            assert!(found.low < found.threshold && found.threshold < found.high);
            held += usize::from(found.low <= truth && truth <= found.high);
            above += usize::from(found.threshold > truth);
        }
        (held as f64 / 4000.0, above as f64 / 4000.0)
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        for (n, rate) in [(40, 0.01), (30, 0.005), (200, 0.001)] {
            let (held, above) = tried(n, rate, -rate.ln(), |random| -(1.0 - random.random::<f64>()).ln());
            assert!((0.87..0.94).contains(&held) && (0.35..0.6).contains(&above), "{n} {rate}: {held} {above}");
        }
    }

    /// A uniform distribution ends; the estimate goes beyond.
    #[test]
    fn lighter_tails_are_overestimated() {
        let (_, above) = tried(40, 0.01, 0.99, |random| random.random());
        assert!(above > 0.95, "{above}");
    }

    #[test]
    fn nothing_is_estimated_from_too_little() {
        let scores: Vec<f32> = (0..40).map(|i| i as f32).collect();
        assert!(TailEstimate::of(&scores[..9], 0.01).is_none());
        assert_eq!(TailEstimate::of(&scores[..15], 0.01).unwrap().images, 7);
        assert!(TailEstimate::of(&scores, 0.3).is_none());
        let flat = TailEstimate::of(&[2.0; 40], 0.01).unwrap();
        assert_eq!((flat.low, flat.threshold, flat.high), (2.0, 2.0, 2.0));
    }
}
