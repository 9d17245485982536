//! The figures that an evaluation gives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The figures that `evaluate --json` prints. A figure is null where it has no meaning: no masks, no good or no anomalous images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Images scored.
    pub images: usize,
    /// Good ones among them.
    pub good: usize,
    /// Anomalous ones among them.
    pub anomalous: usize,
    /// Area under the ROC curve of image scores, 0..1.
    pub image_auroc: Option<f64>,
    /// Best F1 over all thresholds: picked on the very images that it describes.
    pub image_f1: Option<f64>,
    /// Area under the ROC curve of all pixels of good images and of images with a mask.
    pub pixel_auroc: Option<f64>,
    /// Best F1 of those pixels over thresholds.
    pub pixel_f1: Option<f64>,
    /// Area under the per-region-overlap curve up to a false-positive rate of 0.3.
    pub aupro: Option<f64>,
    /// Share of the good images whose score is above the threshold.
    pub false_reject_rate: Option<f64>,
    /// Share of the anomalous images whose score is not above the threshold.
    pub miss_rate: Option<f64>,
    /// Engine that ran the backbone.
    pub engine: String,
    /// From the picture in memory to its score, without a score map.
    pub latency_ms: Latency,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95 of 100 are at most this long.
    pub p95: f64,
    /// 99 of 100 are at most this long.
    pub p99: f64,
}

impl Latency {
    /// Percentiles (nearest rank) of some durations; zeros when there are none.
    pub fn of(durations: &[Duration]) -> Latency {
        let mut sorted: Vec<f64> = durations.iter().map(|duration| duration.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| match sorted.len() {
            0 => 0.0,
            n => sorted[((share * n as f64).ceil() as usize).clamp(1, n) - 1],
        };
        Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let durations: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let latency = Latency::of(&durations);
        assert_eq!((latency.p50, latency.p95, latency.p99), (50.0, 95.0, 99.0));
    }
}
