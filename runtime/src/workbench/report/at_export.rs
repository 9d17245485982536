//! What the exporter has written about training and threshold into a bundle's `report.json`.

use std::collections::BTreeMap;

use detector::bundle::Bundle;
use serde::Deserialize;

/// The parts of the exporter's report that the page shows; all empty where a bundle does not have them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AtExport {
    /// Mean losses over the course of each training, by the training's name.
    #[serde(default)]
    pub training: BTreeMap<String, Vec<f32>>,
    /// The good images that the threshold comes from.
    #[serde(default)]
    pub calibration: GoodImages,
    /// What other false-reject rates would mean.
    #[serde(default)]
    pub choices: Vec<Choice>,
}

/// The good images with the highest scores.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct GoodImages {
    /// The highest first.
    #[serde(default)]
    pub highest: Vec<GoodImage>,
    /// The threshold without the images that lie far out.
    #[serde(default)]
    pub without_far_out: Option<f32>,
}

/// A good image with a high score.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct GoodImage {
    /// Path below the data set's folder.
    pub image: String,
    /// Its score by a detector that has not learned from it.
    pub score: f32,
    /// Whether the score lies far above the others.
    #[serde(default)]
    pub far_out: bool,
    /// The bundle's entry with its picture.
    #[serde(default)]
    pub picture: Option<String>,
}

/// A false-reject rate and what is missed at its threshold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Choice {
    /// Share of good parts that is rejected.
    pub rate: f64,
    /// The threshold.
    pub threshold: f32,
    /// Whether there are too few good images for the rate.
    pub estimated: bool,
    /// By distance alone: as for new kinds of defects.
    pub misses: Misses,
    /// As for defects like the samples.
    #[serde(default)]
    pub like_samples: Option<Misses>,
}

/// Missed anomalous samples and the interval of the miss rate.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Misses {
    /// Number of samples.
    pub samples: usize,
    /// Of them missed.
    pub missed: usize,
    /// Lower bound of the 90 % confidence interval.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl AtExport {
    /// Of a bundle; nothing where it has no such report, or one of another form.
    pub fn of(bundle: &Bundle) -> AtExport {
        let report: Option<AtExport> = bundle.file("report.json").ok().and_then(|bytes| serde_json::from_slice(bytes).ok());
        report.unwrap_or_default()
    }
}
