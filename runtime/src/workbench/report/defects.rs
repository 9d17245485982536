//! Figures of each type of defect.

use std::collections::BTreeMap;

use detector::metrics::{Decisions, Ranking};
use detector::{Error, Result};

use super::content::{Report, ReportImage};

/// How the detector does on one type of defect.
pub(super) struct DefectRow<'a> {
    pub(super) name: &'a str,
    pub(super) decisions: Decisions,
    /// Against all good images.
    pub(super) auroc: Option<f64>,
    pub(super) lowest: f32,
    pub(super) highest: f32,
}

/// The images ranked by their scores.
///
/// # Errors
/// When a score is NaN.
pub(super) fn rank(images: &[ReportImage]) -> Result<Ranking> {
    if let Some(image) = images.iter().find(|image| image.score.is_nan()) {
        return Err(Error::invalid(format!("{}: its score is NaN, a report needs numbers", image.name)));
    }
    let scores: Vec<f32> = images.iter().map(|image| image.score).collect();
    let anomalous: Vec<bool> = images.iter().map(|image| image.defect.is_some()).collect();
    Ranking::new(&scores, &anomalous).map_err(Error::Metrics)
}

/// One row for each type of defect, by name.
pub(super) fn rows<'a>(report: &Report<'a>) -> Result<Vec<DefectRow<'a>>> {
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
