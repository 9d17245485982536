//! An evaluation: figures and what they were computed from.

use super::figures::Figures;
use crate::dataset::Sample;
use crate::scorer::Scored;

/// One image's result.
#[derive(Clone, Debug)]
pub struct ImageResult {
    /// The image and its truth.
    pub sample: Sample,
    /// Its score.
    pub scored: Scored,
    /// Whether its score is above the threshold; none if there is no threshold yet.
    pub anomalous: Option<bool>,
    /// Which pixels of the network's input show the defect, `[height, width]`; none for an anomalous image without a mask file.
    pub mask: Option<Vec<bool>>,
}

/// Figures and what they were computed from.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The figures.
    pub figures: Figures,
    /// Results in the order of the samples.
    pub images: Vec<ImageResult>,
}
