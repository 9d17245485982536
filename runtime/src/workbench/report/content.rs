//! The content of a report, before it is a page.

use std::collections::BTreeMap;

use detector::map::ScoreMap;
use detector::preprocess::Prepared;

use super::at_export::AtExport;

/// An evaluation with everything that its page shows.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Name of the detector.
    pub title: &'a str,
    /// Further facts for the reader (engine, data, latency ...), name and value, in this order.
    pub facts: &'a [(&'a str, String)],
    /// Scores above it are anomalous.
    pub threshold: f32,
    /// Every image that was scored.
    pub images: &'a [ReportImage],
    /// Figures that need masks.
    pub pixels: PixelFigures,
    /// What the exporter has written about training and threshold.
    pub at_export: &'a AtExport,
    /// Entries of the bundle with pictures of good images (PNG), by their names.
    pub good_pictures: &'a BTreeMap<String, Vec<u8>>,
}

/// One image of the data set.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportImage {
    /// Path below the data set's folder.
    pub name: String,
    /// Type of defect (its folder), `None` for a good image.
    pub defect: Option<String>,
    /// Image score.
    pub score: f32,
}

/// Figures in 0..=1 that need masks, `None` where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PixelFigures {
    /// Pixel AUROC.
    pub auroc: Option<f64>,
    /// Best pixel F1.
    pub f1: Option<f64>,
    /// AUPRO up to a false-positive rate of 0.3.
    pub aupro: Option<f64>,
}

/// The pictures of one image; all of one size.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// The picture at the network's size.
    pub prepared: Prepared,
    /// Its score map.
    pub map: ScoreMap,
    /// Its mask, row by row, where there is one; an empty mask is not shown.
    pub mask: Option<Vec<bool>>,
}
