//! One HTML file that shows how a detector does on a data set: figures, curves, and the pictures worth looking at. It holds
//! everything itself and loads nothing.

mod chart;
mod gallery;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use detector::map::ScoreMap;
use detector::metrics::{Decisions, Ranking};
use detector::preprocess::Prepared;
use detector::{Error, Result, files};

/// What an evaluation found.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Name of the detector.
    pub title: &'a str,
    /// What else a reader wants to know (engine, data, latency ...), name and value, in this order.
    pub facts: &'a [(&'a str, String)],
    /// Scores above it are anomalous.
    pub threshold: f32,
    /// Every image that was scored.
    pub images: &'a [ReportImage],
    /// Figures that need masks.
    pub pixels: PixelFigures,
    /// Training curves, by what learned.
    pub curves: &'a BTreeMap<String, Vec<f32>>,
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
pub struct View {
    /// The picture as the network saw it.
    pub prepared: Prepared,
    /// Its score map.
    pub map: ScoreMap,
    /// Its mask, row by row, where there is one; an empty mask is not shown.
    pub mask: Option<Vec<bool>>,
}

impl Report<'_> {
    /// Writes the page to `path`, all of it or nothing. `view` gives the pictures of `images[i]` and is asked for the few
    /// images that are shown.
    ///
    /// # Errors
    /// A NaN score, an error of `view`, pictures that do not fit together, or the file cannot be written.
    pub fn write(&self, path: &Path, view: impl FnMut(usize) -> Result<View>) -> Result<()> {
        files::write_atomic(path, self.html(view)?.as_bytes())
    }

    /// The page as text; see [`Report::write`].
    ///
    /// # Errors
    /// As there, except for the file.
    pub fn html(&self, mut view: impl FnMut(usize) -> Result<View>) -> Result<String> {
        let ranking = rank(self.images)?;
        let groups = gallery::pick(self.images, self.threshold);
        let galleries = groups.iter().map(|group| gallery::html(self, group, &mut view)).collect::<Result<String>>()?;
        Ok(page::html(self, &ranking, &defects(self)?, &galleries))
    }
}

/// How the detector does on one type of defect.
struct DefectRow<'a> {
    name: &'a str,
    decisions: Decisions,
    /// Against all good images.
    auroc: Option<f64>,
    lowest: f32,
    highest: f32,
}

fn rank(images: &[ReportImage]) -> Result<Ranking> {
    if let Some(image) = images.iter().find(|image| image.score.is_nan()) {
        return Err(Error::invalid(format!("{}: its score is NaN, a report needs numbers", image.name)));
    }
    let scores: Vec<f32> = images.iter().map(|image| image.score).collect();
    let anomalous: Vec<bool> = images.iter().map(|image| image.defect.is_some()).collect();
    Ranking::new(&scores, &anomalous).map_err(|e| Error::invalid(e.to_string()))
}

/// One row for each type of defect, by name.
fn defects<'a>(report: &Report<'a>) -> Result<Vec<DefectRow<'a>>> {
    let mut of_type: BTreeMap<&str, Vec<ReportImage>> = BTreeMap::new();
    for image in report.images {
        if let Some(defect) = &image.defect {
            of_type.entry(defect).or_default().push(image.clone());
        }
    }
    let good: Vec<ReportImage> = report.images.iter().filter(|image| image.defect.is_none()).cloned().collect();
    let row = |(name, mut images): (&'a str, Vec<ReportImage>)| {
        let scores = images.iter().map(|image| image.score);
        let (lowest, highest) = (scores.clone().fold(f32::INFINITY, f32::min), scores.fold(f32::NEG_INFINITY, f32::max));
        images.extend(good.iter().cloned());
        let ranking = rank(&images)?;
        Ok(DefectRow { name, decisions: ranking.at(report.threshold), auroc: ranking.auroc(), lowest, highest })
    };
    of_type.into_iter().map(row).collect()
}
