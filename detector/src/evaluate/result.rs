//! An evaluation: figures and what they were computed from.

use super::figures::Figures;
use crate::dataset::Sample;
use crate::scorer::Scored;

/// One image's result.
#[derive(Clone, Debug)]
pub struct ImageResult {
    /// The image and its truth.
    pub sample: Sample,
    /// What the detector said.
    pub scored: Scored,
    /// Whether its score is above the threshold; none where there is no threshold yet.
    pub anomalous: Option<bool>,
    /// `[height, width]` of the input, in its geometry; anomalous images without a mask have none.
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
