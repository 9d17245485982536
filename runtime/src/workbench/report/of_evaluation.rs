//! From an evaluation to the report about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use detector::Result;
use detector::bundle::Bundle;
use detector::calibration::Calibration;
use detector::evaluate::{Evaluation, Figures, ImageResult};
use detector::picture::Picture;
use detector::preprocess::Preprocess;
use detector::run::{Split, Use};

use super::at_export::AtExport;
use super::content::{Pictures, PixelFigures, Report, ReportImage};

/// An evaluation that becomes a page.
#[derive(Clone, Copy)]
pub struct EvaluationReport<'a> {
    /// The evaluation.
    pub evaluation: &'a Evaluation,
    /// The bundle that was evaluated.
    pub bundle: &'a Bundle,
    /// The calibration whose threshold judged.
    pub calibration: &'a Calibration,
    /// How images were brought to the network's size.
    pub preprocess: &'a Preprocess,
    /// The data set's folder.
    pub data: &'a Path,
}

impl EvaluationReport<'_> {
    /// Writes the page to `path`, all of it or nothing.
    ///
    /// # Errors
    /// When the bundle's split is unsound, an image of the data set can no longer be read, or the page cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let Figures { pixel_auroc: auroc, pixel_f1: f1, aupro, engine, latency_ms, .. } = &self.evaluation.figures;
        let manifest = &self.bundle.manifest;
        let input = manifest.input.input();
        let facts = [
            ("data", self.data.display().to_string()),
            ("bundle", self.bundle.id.clone()),
            ("mode", manifest.detector.mode.clone()),
            ("backbone", format!("{}, {} x {} px", manifest.backbone.structure.name, input.width, input.height)),
            ("memory bank", format!("{} x {}", manifest.bank.vectors, manifest.bank.dims)),
            ("engine", engine.clone()),
            ("latency p50 / p95", format!("{:.1} / {:.1} ms", latency_ms.p50, latency_ms.p95)),
            ("learned from", learned_from(&self.bundle.split()?)),
            ("drawn with seed", manifest.detector.seed.to_string()),
            ("false rejects to expect", self.calibration.describe()),
        ];
        let images: Vec<ReportImage> = self.evaluation.images.iter().map(|result| self.image(result)).collect();
        let at_export = AtExport::of(self.bundle);
        let names = at_export.calibration.highest.iter().filter_map(|good| good.picture.clone());
        let good_pictures = names.filter_map(|name| Some((name.clone(), self.bundle.file(&name).ok()?.to_vec()))).collect();
        let report = Report {
            title: &manifest.detector.name,
            facts: &facts,
            threshold: self.calibration.threshold,
            images: &images,
            pixels: PixelFigures { auroc: *auroc, f1: *f1, aupro: *aupro },
            at_export: &at_export,
            good_pictures: &good_pictures,
        };
        report.write(path, |i| self.pictures(i))
    }

    fn image(&self, result: &ImageResult) -> ReportImage {
        let sample = &result.sample;
        let name = sample.path.strip_prefix(self.data).unwrap_or(&sample.path);
        ReportImage { name: name.display().to_string(), defect: sample.defect.clone(), score: result.scored.score }
    }

    fn pictures(&self, index: usize) -> Result<Pictures> {
        let result = &self.evaluation.images[index];
        let picture = Picture::read(&result.sample.path)?;
        let prepared = self.preprocess.prepare(&picture.pixels)?;
        Ok(Pictures { prepared, map: result.scored.map(), mask: result.mask.clone() })
    }
}

/// How many images each use of the split has, in words. Anomalous samples are counted by the folder that they came from, which names their
/// defect.
fn learned_from(split: &Split) -> String {
    let of = |r#use: Use| split.images.iter().filter(move |image| image.r#use == r#use);
    let uses = [
        (Use::Bank, "good images"),
        (Use::Calibration, "good images for the threshold"),
        (Use::Anomalous, "anomalous samples"),
        (Use::SetAside, "images set aside"),
    ];
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for image in of(Use::Anomalous) {
        let kind = Path::new(&image.path).parent().and_then(Path::file_name).unwrap_or_default();
        *kinds.entry(kind.to_string_lossy().into_owned()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let text_of = |(r#use, name): (Use, &str)| match (r#use, of(r#use).count()) {
        (_, 0) => None,
        (Use::Anomalous, count) => Some(format!("{count} {name} ({})", kinds.join(", "))),
        (_, count) => Some(format!("{count} {name}")),
    };
    let mut texts: Vec<String> = uses.into_iter().filter_map(text_of).collect();
    let groups: BTreeSet<&String> = split.images.iter().filter_map(|image| image.group.as_ref()).collect();
    if !groups.is_empty() {
        texts.push(format!("in {} groups that stay together", groups.len()));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::run::SplitImage;

    #[test]
    fn images_are_counted_by_use_and_defect() {
        let image = |path: &str, r#use, group: Option<&str>| SplitImage {
            path: path.into(),
            sha256: String::new(),
            r#use,
            group: group.map(str::to_owned),
            fold: None,
        };
        let images = vec![
            image("train/good/0.png", Use::Bank, Some("a")),
            image("train/good/1.png", Use::Bank, Some("a")),
            image("train/good/2.png", Use::Calibration, Some("b")),
            image("test/dent/0.png", Use::Anomalous, None),
            image("test/dent/1.png", Use::Anomalous, None),
            image("test/stain/0.png", Use::Anomalous, None),
        ];
        assert_eq!(
            learned_from(&Split { images }),
            "2 good images, 1 good images for the threshold, 3 anomalous samples (dent 2, stain 1), in 2 groups that stay together"
        );
    }
}
