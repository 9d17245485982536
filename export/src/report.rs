//! The report in a bundle.

use std::collections::BTreeMap;

use detector::bundle::Variant;
use detector::calibration::{Calibration, TailEstimate, images_needed};
use detector::evaluate::Figures;
use serde::{Deserialize, Serialize};

use crate::misses::ExpectedMisses;
use crate::parity::Parity;
use crate::training::Curves;
use crate::variants::VariantReport;

/// Content of `report.json`: the results of the export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How near the bundle is to the trained network.
    pub parity: Parity,
    /// How the threshold was found.
    pub calibration: CalibrationReport,
    /// Figures on the data set's unseen images, named as in [`Figures`]. Latencies are left out: they are not the camera's, and would make
    /// two exports of one run differ. None where the data was not there or the evaluation was not wanted.
    pub evaluation: Option<serde_json::Map<String, serde_json::Value>>,
    /// Expected misses of defects like the anomalous samples; none where there are no samples, or where the features have learned from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_misses: Option<ExpectedMisses>,
    /// Training curves; empty where nothing learned by gradients.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub training: Curves,
    /// Differences of other forms of the network from the float one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<Variant, VariantReport>,
}

/// How the threshold was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// Held-out good images.
    pub images: usize,
    /// False-reject rate that was asked for.
    pub requested_rate: f64,
    /// False-reject rate that the threshold promises.
    pub promised_rate: f64,
    /// Whether the images were enough for the requested rate.
    pub rate_supported: bool,
    /// Fewest images that support the requested rate.
    pub images_needed: usize,
    /// Estimate of the requested rate's threshold, where there are too few images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailEstimate>,
}

impl CalibrationReport {
    /// The report on a calibration and the scores that it rests on.
    pub fn new(calibration: &Calibration, scores: &[f32]) -> CalibrationReport {
        let supported = calibration.is_supported();
        CalibrationReport {
            images: calibration.images,
            requested_rate: calibration.requested_rate,
            promised_rate: calibration.false_reject_rate,
            rate_supported: supported,
            images_needed: images_needed(calibration.requested_rate),
            tail: if supported { None } else { TailEstimate::of(scores, calibration.requested_rate) },
        }
    }
}

/// Figures for the report.
pub(crate) fn without_latency(figures: &Figures) -> serde_json::Map<String, serde_json::Value> {
    let mut map = match serde_json::to_value(figures) {
        Ok(serde_json::Value::Object(map)) => map,
        // A struct of numbers and strings is always an object.
        _ => serde_json::Map::new(),
    };
    map.remove("latency_ms");
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_needs_ninety_nine_images() {
        assert_eq!([0.01, 0.05, 0.5, 0.9].map(images_needed), [99, 19, 5, 5]);
        for n in [19, 20, 99] {
            let scores: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let report = CalibrationReport::new(&detector::calibration::calibrate(&scores, 0.01).unwrap(), &scores);
            assert_eq!(report.rate_supported, n >= report.images_needed);
            assert_eq!(report.tail.is_some(), n == 20, "{n}");
        }
    }
}
