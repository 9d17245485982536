//! An evaluation image by image, small enough to keep: for comparing detectors on the same images afterwards.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pixels::{cut, rank_pixels};
use super::result::{Evaluation, ImageResult};
use crate::metrics::{Bins, MetricsError};

/// Bins from either class. Best F1 is a flat maximum, and the area uses the middle of a bin: with this number of bins both are off by
/// less than one in a thousand.
const EACH: usize = 256;

/// The scores of one image and of its pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageScore {
    /// Relative to the data set.
    pub path: String,
    /// Type of its defect; none for good images.
    pub defect: Option<String>,
    /// The image's score.
    pub score: f32,
    /// Number of good pixels in bins of rising score; all images of an evaluation have the same bins. Empty bins at the end are left out.
    /// Images without a mask have no bins.
    pub good_pixels: Vec<u32>,
    /// Number of anomalous pixels in the same bins.
    pub anomalous_pixels: Vec<u32>,
}

impl Evaluation {
    /// Every image's score, and its pixels' scores in bins.
    ///
    /// # Errors
    /// A map with a NaN.
    pub fn scores(&self, root: &Path) -> Result<Vec<ImageScore>, MetricsError> {
        let bins = rank_pixels(&self.images)?.map(|ranked| Bins::between_quantiles(ranked.pixels(), EACH));
        let score = |image: &ImageResult| {
            let [good_pixels, anomalous_pixels] = match (&bins, &image.mask) {
                (Some(bins), Some(mask)) => {
                    let map = image.scored.map();
                    let (scores, inside) = (cut(&map, &map.values), cut(&map, mask));
                    [false, true].map(|anomalous| {
                        let pixels = scores.iter().zip(&inside).filter(|(_, inside)| **inside == anomalous);
                        bins.count(pixels.map(|(score, _)| *score))
                    })
                }
                _ => [Vec::new(), Vec::new()],
            };
            let path = image.sample.path.strip_prefix(root).unwrap_or(&image.sample.path);
            ImageScore {
                path: path.to_string_lossy().into_owned(),
                defect: image.sample.defect.clone(),
                score: image.scored.score,
                good_pixels,
                anomalous_pixels,
            }
        };
        Ok(self.images.iter().map(score).collect())
    }
}
