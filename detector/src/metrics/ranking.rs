//! Scores of two classes, sorted, and the figures that follow from their order.

use super::error::{MetricsError, same_length};
use super::keys::{check, key, score};
use crate::calibration::is_anomalous;
use rayon::slice::ParallelSliceMut;
use std::iter::Peekable;

/// Scores with their truth, sorted; 4 bytes per score.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Keys of the good scores, highest first.
    good: Vec<u32>,
    /// Keys of the anomalous scores, highest first.
    anomalous: Vec<u32>,
}

/// The best F1 over all thresholds, picked on the very data that it describes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestF1 {
    /// F1 in 0..=1.
    pub f1: f64,
    /// The highest score that it calls good; `-inf` when it calls none good.
    pub threshold: f32,
}

/// A point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// The highest score that counts as good here; scores above it count as anomalous. `-inf` in the last point.
    pub threshold: f32,
    /// Share of the good scores above the threshold.
    pub false_positive_rate: f64,
    /// Share of the anomalous scores above the threshold.
    pub true_positive_rate: f64,
}

/// How one threshold judges the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decisions {
    /// Good, judged good.
    pub passed: usize,
    /// Good, judged anomalous.
    pub false_rejects: usize,
    /// Anomalous, judged anomalous.
    pub true_rejects: usize,
    /// Anomalous, judged good.
    pub missed: usize,
}

impl Decisions {
    /// False rejects among the good; `None` without any good.
    pub fn false_reject_rate(&self) -> Option<f64> {
        share(self.false_rejects, self.false_rejects + self.passed)
    }

    /// Missed among the anomalous; `None` without any anomalous.
    pub fn miss_rate(&self) -> Option<f64> {
        share(self.missed, self.missed + self.true_rejects)
    }

    /// F1 of the class "anomalous"; `None` without any anomalous.
    pub fn f1(&self) -> Option<f64> {
        let anomalous = self.missed + self.true_rejects;
        (anomalous > 0).then(|| f1(self.true_rejects, self.false_rejects, anomalous))
    }
}

impl Ranking {
    /// Ranks `scores`; `anomalous[i]` is the truth about the image or pixel of `scores[i]`.
    ///
    /// # Errors
    /// A NaN score, or slices of different lengths.
    pub fn new(scores: &[f32], anomalous: &[bool]) -> Result<Self, MetricsError> {
        same_length("truth", anomalous.len(), scores.len())?;
        check(scores)?;
        let of_class = |class| {
            let pairs = scores.iter().zip(anomalous);
            pairs.filter(|&(_, &a)| a == class).map(|(&s, _)| key(s)).collect()
        };
        Ok(Self::from_keys(of_class(false), of_class(true)))
    }

    pub(super) fn from_keys(mut good: Vec<u32>, mut anomalous: Vec<u32>) -> Self {
        good.par_sort_unstable_by(|a, b| b.cmp(a));
        anomalous.par_sort_unstable_by(|a, b| b.cmp(a));
        Self { good, anomalous }
    }

    /// Keys of the good scores, highest first.
    pub(super) fn good_keys(&self) -> &[u32] {
        &self.good
    }

    /// Keys of the anomalous scores, highest first.
    pub(super) fn anomalous_keys(&self) -> &[u32] {
        &self.anomalous
    }

    /// Number of good scores.
    pub fn good(&self) -> usize {
        self.good.len()
    }

    /// Number of anomalous scores.
    pub fn anomalous(&self) -> usize {
        self.anomalous.len()
    }

    /// The chance that an anomalous score lies above a good one, ties counted half; `None` when a class is missing.
    pub fn auroc(&self) -> Option<f64> {
        let pairs = self.good.len() as u128 * self.anomalous.len() as u128;
        // Counted in half pairs, so that the sum stays exact in integers.
        let mut won = 0u128;
        let (mut good_above, mut anomalous_above) = (0, 0);
        for step in self.steps() {
            let (good, anomalous) = (step.good - good_above, step.anomalous - anomalous_above);
            let good_below = self.good.len() - step.good;
            won += anomalous as u128 * (2 * good_below + good) as u128;
            (good_above, anomalous_above) = (step.good, step.anomalous);
        }
        (pairs > 0).then(|| won as f64 / (2 * pairs) as f64)
    }

    /// The best F1 of the class "anomalous" over all thresholds; `None` without any anomalous.
    pub fn best_f1(&self) -> Option<BestF1> {
        let mut best: Option<BestF1> = None;
        for step in self.steps().filter(|_| !self.anomalous.is_empty()) {
            let f1 = f1(step.anomalous, step.good, self.anomalous.len());
            if best.is_none_or(|b| f1 > b.f1) {
                best = Some(BestF1 { f1, threshold: step.threshold });
            }
        }
        best
    }

    /// The ROC curve from (0, 0) to (1, 1), corners only: points on the straight line between their neighbours are left
    /// out. Empty when a class is missing.
    pub fn roc_curve(&self) -> Vec<RocPoint> {
        if self.good.is_empty() || self.anomalous.is_empty() {
            return Vec::new();
        }
        let mut corners: Vec<(f32, usize, usize)> = vec![(self.highest(), 0, 0)];
        for step in self.steps() {
            if let [.., a, b] = corners[..] {
                let (x1, y1) = ((b.1 - a.1) as u128, (b.2 - a.2) as u128);
                let (x2, y2) = ((step.good - b.1) as u128, (step.anomalous - b.2) as u128);
                if x1 * y2 == x2 * y1 {
                    corners.pop();
                }
            }
            corners.push((step.threshold, step.good, step.anomalous));
        }
        let point = |(threshold, good, anomalous)| RocPoint {
            threshold,
            false_positive_rate: good as f64 / self.good.len() as f64,
            true_positive_rate: anomalous as f64 / self.anomalous.len() as f64,
        };
        corners.into_iter().map(point).collect()
    }

    /// How `threshold` judges the scores: above it is anomalous. A NaN threshold finds nothing anomalous.
    pub fn at(&self, threshold: f32) -> Decisions {
        let rejected = |keys: &[u32]| keys.partition_point(|&k| is_anomalous(score(k), threshold));
        let (false_rejects, true_rejects) = (rejected(&self.good), rejected(&self.anomalous));
        Decisions {
            passed: self.good.len() - false_rejects,
            false_rejects,
            true_rejects,
            missed: self.anomalous.len() - true_rejects,
        }
    }

    fn highest(&self) -> f32 {
        self.good.first().max(self.anomalous.first()).map_or(f32::NEG_INFINITY, |&k| score(k))
    }

    /// Every way to cut the scores, from "only the highest score is anomalous" to "all scores are".
    fn steps(&self) -> impl Iterator<Item = Step> {
        let mut good = Runs::new(self.good.iter().copied());
        let mut anomalous = Runs::new(self.anomalous.iter().copied());
        std::iter::from_fn(move || {
            let key = good.peek().max(anomalous.peek())?;
            let (above_good, above_anomalous) = (good.take_from(key), anomalous.take_from(key));
            let below = good.peek().max(anomalous.peek());
            let threshold = below.map_or(f32::NEG_INFINITY, score);
            Some(Step { threshold, good: above_good, anomalous: above_anomalous })
        })
    }
}

/// A threshold that is a score itself, and the number of scores above it.
struct Step {
    threshold: f32,
    good: usize,
    anomalous: usize,
}

/// Walks down a sorted list and counts.
pub(super) struct Runs<I: Iterator<Item = u32>> {
    keys: Peekable<I>,
    taken: usize,
}

impl<I: Iterator<Item = u32>> Runs<I> {
    pub(super) fn new(keys: I) -> Self {
        Self { keys: keys.peekable(), taken: 0 }
    }

    pub(super) fn peek(&mut self) -> Option<u32> {
        self.keys.peek().copied()
    }

    /// Number of keys at or above `key`.
    pub(super) fn take_from(&mut self, key: u32) -> usize {
        while self.keys.next_if(|&k| k >= key).is_some() {
            self.taken += 1;
        }
        self.taken
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// F1 from `2 TP / (2 TP + FP + FN)`; `anomalous` is not 0.
fn f1(true_rejects: usize, false_rejects: usize, anomalous: usize) -> f64 {
    2.0 * true_rejects as f64 / (true_rejects + false_rejects + anomalous) as f64
}
