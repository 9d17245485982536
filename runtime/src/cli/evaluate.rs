use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::bundle::Bundle;
use detector::calibration::Calibration;
use detector::dataset::Dataset;
use detector::evaluate::{Evaluation, Figures, evaluate};
use detector::picture::Picture;
use detector::run::{Split, Use};
use detector::scorer::Scorer;
use detector::{Declined, Detector, files};

use super::seat::Seat;
use super::{Answer, Model, output};
use config::Config;
use store::site;
use crate::workbench::report::{PixelFigures, Report, ReportImage, View};
use serde::Serialize;

/// Measure a bundle on a data set
///
/// Only images that training and calibration have not seen are scored. The data set is a folder in MVTec's layout (train/good,
/// test/good, test/DEFECT, ground_truth/DEFECT) or a flat one (good, anomalous, optionally masks).
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    /// The data set
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Also judge with this site's own threshold: the one of this line configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Also write a page with figures, curves and pictures
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Also write every image's score, and its pixels' scores in bins, to compare detectors image by image
    #[arg(long, value_name = "FILE.json")]
    scores: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    /// Engines that were wanted more, and why they were not used; left out where there are none.
    #[serde(skip_serializing_if = "<[Declined]>::is_empty")]
    declined: &'a [Declined],
    /// With `--config`: what this site's threshold does to the same images.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<AtSite>,
}

/// Figures at this site's own threshold.
#[derive(Clone, Copy, Serialize)]
struct AtSite {
    threshold: f32,
    promised_false_reject_rate: f64,
    false_reject_rate: Option<f64>,
    miss_rate: Option<f64>,
}

impl AtSite {
    fn of(calibration: &Calibration, evaluation: &Evaluation) -> AtSite {
        let share = |anomalous: bool| {
            let images = || evaluation.images.iter().filter(|image| image.sample.is_anomalous() == anomalous);
            let wrong = images().filter(|image| calibration.is_anomalous(image.scored.score) != anomalous).count();
            (images().count() > 0).then(|| wrong as f64 / images().count() as f64)
        };
        AtSite {
            threshold: calibration.threshold,
            promised_false_reject_rate: calibration.false_reject_rate,
            false_reject_rate: share(false),
            miss_rate: share(true),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let data = Dataset::open(&args.data)?;
    let (bundle, mut detector) = args.model.start()?;
    let site = args.config.as_deref().map(|path| site_threshold(path, &detector)).transpose()?;
    let samples = data.unseen(&bundle.split()?)?;
    let calibration = detector.calibration.clone();
    let bar = output::progress("evaluate", samples.len());
    let evaluation = evaluate(detector.scorer(), &samples, Some(&calibration), &mut || bar.inc(1));
    bar.finish_and_clear();
    let evaluation = evaluation.with_context(|| format!("cannot evaluate on {}", args.data.display()))?;
    let site = site.map(|calibration| AtSite::of(&calibration, &evaluation));
    if let Some(path) = &args.report {
        let (scorer, data) = (detector.scorer(), args.data.as_path());
        Page { evaluation: &evaluation, bundle: &bundle, calibration: &calibration, scorer, data }.write(path)?;
    }
    if let Some(path) = &args.scores {
        let scores = evaluation.scores(&data.root).with_context(|| format!("cannot rank the scores for {}", path.display()))?;
        files::write_atomic(path, &serde_json::to_vec(&scores).context("cannot write JSON")?)?;
    }
    if args.json {
        output::print_json(&Document { figures: &evaluation.figures, declined: &detector.declined, site })?;
    } else {
        let left_out = data.test.len() - samples.len();
        output::print(&table(&evaluation.figures, &calibration, site, left_out))?;
    }
    Ok(Answer::Done)
}

/// The threshold that `apc-runtime calibrate` set for this camera.
fn site_threshold(config: &Path, detector: &Detector) -> Result<Calibration> {
    let line = Config::read(config)?;
    let Seat { view, product, .. } = Seat::first(&line);
    let found = site::of(&line, detector, view, product)?;
    let found =
        found.with_context(|| format!("{}: this site has no threshold of its own: `apc-runtime calibrate`", config.display()));
    Ok(found?.calibration)
}

fn table(figures: &Figures, calibration: &Calibration, site: Option<AtSite>, left_out: usize) -> String {
    let share = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.4}"));
    let percent = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{:.2} %", value * 100.0));
    let latency = &figures.latency_ms;
    let rows = [
        ("images", format!("{} ({} good, {} anomalous)", figures.images, figures.good, figures.anomalous)),
        ("seen in training, left out", left_out.to_string()),
        ("image AUROC", share(figures.image_auroc)),
        ("image F1, best", share(figures.image_f1)),
        ("pixel AUROC", share(figures.pixel_auroc)),
        ("pixel F1, best", share(figures.pixel_f1)),
        ("AUPRO (0.3)", share(figures.aupro)),
        ("threshold", format!("{:.4}", calibration.threshold)),
        ("false rejects", percent(figures.false_reject_rate)),
        ("  promised", percent(Some(calibration.false_reject_rate))),
        ("missed", percent(figures.miss_rate)),
        ("engine", figures.engine.clone()),
        ("latency p50 / p95 / p99", format!("{:.1} / {:.1} / {:.1} ms", latency.p50, latency.p95, latency.p99)),
    ];
    let mut rows = rows.to_vec();
    if let Some(AtSite { threshold, promised_false_reject_rate, false_reject_rate, miss_rate }) = site {
        rows.extend([
            ("threshold of this site", format!("{threshold:.4}")),
            ("false rejects", percent(false_reject_rate)),
            ("  promised", percent(Some(promised_false_reject_rate))),
            ("missed", percent(miss_rate)),
        ]);
    }
    rows.into_iter().map(|(name, value)| format!("{name:26}  {value}")).collect::<Vec<_>>().join("\n")
}

/// How many images were used for what, in words: anomalous samples by the folder that they came from, which names their defect.
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
    let part = |(r#use, what): (Use, &str)| match (r#use, of(r#use).count()) {
        (_, 0) => None,
        (Use::Anomalous, count) => Some(format!("{count} {what} ({})", kinds.join(", "))),
        (_, count) => Some(format!("{count} {what}")),
    };
    let mut parts: Vec<String> = uses.into_iter().filter_map(part).collect();
    let groups: BTreeSet<&String> = split.images.iter().filter_map(|image| image.group.as_ref()).collect();
    if !groups.is_empty() {
        parts.push(format!("in {} groups that stay together", groups.len()));
    }
    parts.join(", ")
}

/// What the threshold promises, and whether that is what was asked for.
fn promised(calibration: &Calibration) -> String {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let promise = percent(calibration.false_reject_rate);
    if calibration.is_supported() {
        return promise;
    }
    format!("{promise} ({} were asked for: too few good images, {})", percent(calibration.requested_rate), calibration.images)
}

/// What the bundle's report says of its training; nothing where it has none.
fn training_curves(bundle: &Bundle) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default, serde::Deserialize)]
    struct AtExport {
        #[serde(default)]
        training: BTreeMap<String, Vec<f32>>,
    }
    let report: Option<AtExport> = bundle.file("report.json").ok().and_then(|bytes| serde_json::from_slice(bytes).ok());
    report.unwrap_or_default().training
}

/// An evaluation that is about to become a page.
struct Page<'a> {
    evaluation: &'a Evaluation,
    bundle: &'a Bundle,
    calibration: &'a Calibration,
    scorer: &'a dyn Scorer,
    data: &'a Path,
}

impl Page<'_> {
    fn write(&self, path: &Path) -> Result<()> {
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
            ("promised false rejects", promised(self.calibration)),
        ];
        let images: Vec<ReportImage> = self.evaluation.images.iter().map(|result| self.image(result)).collect();
        let curves = training_curves(self.bundle);
        let report = Report {
            title: &manifest.detector.name,
            facts: &facts,
            threshold: self.calibration.threshold,
            images: &images,
            pixels: PixelFigures { auroc: *auroc, f1: *f1, aupro: *aupro },
            curves: &curves,
        };
        report.write(path, |i| self.view(i)).with_context(|| format!("cannot write the report {}", path.display()))
    }

    fn image(&self, result: &detector::evaluate::ImageResult) -> ReportImage {
        let sample = &result.sample;
        let name = sample.path.strip_prefix(self.data).unwrap_or(&sample.path);
        ReportImage { name: name.display().to_string(), defect: sample.defect.clone(), score: result.scored.score }
    }

    fn view(&self, index: usize) -> detector::Result<View> {
        let result = &self.evaluation.images[index];
        let picture = Picture::read(&result.sample.path)?;
        let prepared = self.scorer.preprocess().prepare(&picture.pixels)?;
        Ok(View { prepared, map: result.scored.map(), mask: result.mask.clone() })
    }
}
