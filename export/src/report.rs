//! The report in a bundle.

use std::collections::BTreeMap;

use detector::bundle::Variant;
use detector::calibration::{Calibration, FarOut, TailEstimate, images_needed};
use detector::evaluate::Figures;
use detector::run::StoredPicture;
use serde::{Deserialize, Serialize};

use crate::misses::{Choice, ExpectedMisses};
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
    /// What other false-reject rates would mean; empty where there are no expected misses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Training curves; empty where nothing learned by gradients.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub training: Curves,
    /// Differences of other forms of the network from the float one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<Variant, VariantReport>,
}

/// Good images with the highest scores that are named.
const NAMED: usize = 5;

/// A good image and its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoodImage {
    /// Its path relative to the data folder.
    pub image: String,
    /// The score that the threshold comes from.
    pub score: f32,
    /// Whether the score lies far out: the image may show a defect, or another light.
    pub far_out: bool,
    /// The bundle's entry with its picture, as the network sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// How the threshold was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// Held-out good images.
    pub images: usize,
    /// False-reject rate that was asked for.
    pub requested_rate: f64,
    /// False-reject rate that the threshold promises; see [`Calibration::false_reject_rate`].
    pub promised_rate: f64,
    /// Whether the images were enough for the requested rate.
    pub rate_supported: bool,
    /// Fewest images that support the requested rate.
    pub images_needed: usize,
    /// The estimate that the threshold comes from, where there are too few images. Before bundle format 4 the threshold was the largest
    /// score all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailEstimate>,
    /// The good images with the highest scores, the highest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub highest: Vec<GoodImage>,
    /// What the threshold would be without the images that lie far out; none where no image does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_far_out: Option<f32>,
}

impl CalibrationReport {
    /// The report on a calibration, the scores that it rests on, and their pictures.
    pub fn new(calibration: &Calibration, scores: &[f32], pictures: &[StoredPicture]) -> CalibrationReport {
        let far_out = FarOut::of(scores, calibration.requested_rate);
        let places = far_out.as_ref().map_or(&[][..], |far_out| &far_out.places);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let image = |place: &usize| {
            let picture = pictures.get(*place);
            let image = picture.map(|picture| picture.image.clone().unwrap_or_else(|| picture.file.clone())).unwrap_or_default();
            let picture = picture.map(|picture| picture.file.clone());
            GoodImage { image, score: scores[*place], far_out: places.contains(place), picture }
        };
        CalibrationReport {
            images: calibration.images,
            requested_rate: calibration.requested_rate,
            promised_rate: calibration.false_reject_rate,
            rate_supported: calibration.is_supported(),
            images_needed: images_needed(calibration.requested_rate),
            tail: calibration.estimate,
            highest: order.iter().take(NAMED.max(places.len())).map(image).collect(),
            without_far_out: far_out.as_ref().map(|far_out| far_out.threshold),
        }
    }

    /// Says which images lie far out, and what the threshold would be without them; none where no image does.
    pub fn far_out(&self) -> Option<String> {
        let images: Vec<_> = self.highest.iter().filter(|good| good.far_out).collect();
        let threshold = self.without_far_out?;
        let names: Vec<_> = images.iter().map(|good| format!("{} ({:.4})", good.image, good.score)).collect();
        Some(format!(
            "{} of {} good images score far above the others and may show a defect or another light: look at {}; without them the threshold \
             would be {threshold:.4}",
            images.len(),
            self.images,
            names.join(", ")
        ))
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
    use detector::calibration::calibrate;
    use detector::preprocess::Rect;

    #[test]
    fn a_percent_needs_ninety_nine_images() {
        assert_eq!([0.01, 0.05, 0.5, 0.9].map(images_needed), [99, 19, 5, 5]);
        for n in [9, 20, 99] {
            let scores: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let report = CalibrationReport::new(&calibrate(&scores, 0.01).unwrap(), &scores, &[]);
            assert_eq!(report.rate_supported, n >= report.images_needed);
            assert_eq!(report.tail.is_some(), n == 20, "{n}");
        }
    }

    #[test]
    fn an_image_far_out_is_named_with_the_threshold_without_it() {
        let mut scores: Vec<f32> = (0..40).map(|i| 2.0 + i as f32 / 40.0).collect();
        let picture = |i| {
            let content = Rect { x: 0, y: 0, width: 64, height: 64 };
            StoredPicture { file: format!("calibration/{i:03}.png"), content, image: Some(format!("good/{i}.png")) }
        };
        let pictures: Vec<StoredPicture> = (0..40).map(picture).collect();
        let report = |scores: &[f32]| CalibrationReport::new(&calibrate(scores, 0.1).unwrap(), scores, &pictures);
        let sound = report(&scores);
        assert_eq!((sound.highest.len(), sound.highest[0].image.as_str(), sound.far_out()), (NAMED, "good/39.png", None));
        scores[7] = 7.5;
        let found = report(&scores);
        assert_eq!(
            (found.highest[0].image.as_str(), found.highest[0].far_out, found.highest[1].far_out),
            ("good/7.png", true, false)
        );
        assert_eq!(found.highest[0].picture.as_deref(), Some("calibration/007.png"));
        assert!(found.without_far_out.unwrap() < 3.0);
        let text = found.far_out().unwrap();
        assert!(text.starts_with("1 of 40") && text.contains("good/7.png (7.5000)"), "{text}");
    }
}
