//! A clear gap between good images and anomalous samples, and whether the threshold lies in it.

use serde::{Deserialize, Serialize};

/// Fewest anomalous samples that show a gap.
const FEWEST_SAMPLES: usize = 5;

/// What decides where the threshold lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The wished false-reject rate.
    #[default]
    Rate,
    /// The [`Gap`], where there is one; otherwise the rate.
    Gap,
}

impl Place {
    /// Whether a file may leave it out, as those of older versions do.
    pub fn is_rate(&self) -> bool {
        *self == Place::Rate
    }
}

/// Good images and anomalous samples that are clearly apart, all scored by what has not learned from them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The highest score of a good image.
    pub good: f32,
    /// The lowest score of an anomalous sample.
    pub anomalous: f32,
    /// Number of anomalous samples.
    pub samples: usize,
}

impl Gap {
    /// The gap between the scores: none with fewer than five samples, or where it is narrower than the middle half of the good scores is
    /// wide.
    pub fn between(good: &[f32], anomalous: &[f32]) -> Option<Gap> {
        let mut sorted = good.to_vec();
        sorted.sort_by(f32::total_cmp);
        let quartile = |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
        let (lower, upper, highest) = (quartile(0.25)?, quartile(0.75)?, *sorted.last()?);
        let lowest = anomalous.iter().copied().min_by(f32::total_cmp)?;
        let clear = anomalous.len() >= FEWEST_SAMPLES && lowest > highest && lowest - highest >= upper - lower;
        clear.then_some(Gap { good: highest, anomalous: lowest, samples: anomalous.len() })
    }

    /// The threshold in its middle.
    pub fn middle(&self) -> f32 {
        self.good + (self.anomalous - self.good) / 2.0
    }

    /// Whether its values are finite and in order.
    pub(super) fn is_sound(&self) -> bool {
        self.good.is_finite() && self.anomalous.is_finite() && self.good < self.anomalous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_apart_has_a_gap() {
        let good: Vec<f32> = (0..31).map(|i| 2.0 + i as f32 / 30.0).collect();
        let found = Gap::between(&good, &[4.0, 9.0, 5.0, 4.5, 6.0]).unwrap();
        assert_eq!((found.good, found.anomalous, found.samples, found.middle()), (3.0, 4.0, 5, 3.5));
        assert!(Gap::between(&good, &[3.2, 9.0, 5.0, 4.5, 6.0]).is_none(), "narrower than the middle half");
        assert!(Gap::between(&good, &[2.5, 9.0, 5.0, 4.5, 6.0]).is_none(), "they overlap");
        assert!(Gap::between(&good, &[4.0, 9.0, 5.0, 4.5]).is_none(), "too few");
        assert!(Gap::between(&[], &[4.0; 5]).is_none() && Gap::between(&good, &[]).is_none());
    }
}
