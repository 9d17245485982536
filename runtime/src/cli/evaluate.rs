use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::Config;
use detector::calibration::Calibration;
use detector::dataset::Dataset;
use detector::evaluate::Figures;
use detector::{Declined, Detector, files};
use serde::Serialize;

use super::answer::Answer;
use super::model_args::ModelArgs;
use super::{output, progress};
use crate::workbench::evaluate::{SiteFigures, evaluate, site_calibration};
use crate::workbench::report::EvaluationReport;

/// Measure a bundle on a data set
///
/// Only images that training and calibration have not seen are scored. The data set is a folder in MVTec's layout (train/good,
/// test/good, test/DEFECT, ground_truth/DEFECT) or a flat one (good, anomalous, optionally masks).
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
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
    /// Engines that stand earlier in the list of engines, and why they were not used; left out where there are none.
    #[serde(skip_serializing_if = "<[Declined]>::is_empty")]
    declined: &'a [Declined],
    /// With `--config`: the figures of the same images at this site's threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<SiteFigures>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let data = Dataset::open(&args.data)?;
    let (bundle, mut detector) = args.model.start()?;
    let site = args.config.as_deref().map(|path| calibration_of_site(path, &detector)).transpose()?;
    let samples = data.unseen(&bundle.split()?)?;
    let evaluation = progress::with_bar("evaluate", samples.len(), |step| evaluate(&mut detector, &samples, step));
    let evaluation = evaluation.with_context(|| format!("cannot evaluate on {}", args.data.display()))?;
    let site = site.map(|calibration| SiteFigures::of(&calibration, &evaluation));
    let calibration = detector.calibration.clone();
    if let Some(path) = &args.report {
        let (preprocess, data) = (detector.scorer().preprocess(), args.data.as_path());
        let report = EvaluationReport { evaluation: &evaluation, bundle: &bundle, calibration: &calibration, preprocess, data };
        report.write(path).with_context(|| format!("cannot write the report {}", path.display()))?;
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

/// This site's calibration for a line configuration.
fn calibration_of_site(config: &Path, detector: &Detector) -> Result<Calibration> {
    let calibration = site_calibration(&Config::read(config)?, detector)?;
    calibration.with_context(|| format!("{}: this site has no threshold of its own: `apc-runtime calibrate`", config.display()))
}

fn table(figures: &Figures, calibration: &Calibration, site: Option<SiteFigures>, left_out: usize) -> String {
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
        ("  to expect", calibration.describe()),
        ("missed", percent(figures.miss_rate)),
        ("engine", figures.engine.clone()),
        ("latency p50 / p95 / p99", format!("{:.1} / {:.1} / {:.1} ms", latency.p50, latency.p95, latency.p99)),
    ];
    let mut rows = rows.to_vec();
    if let Some(SiteFigures { threshold, promised_false_reject_rate, false_reject_rate, miss_rate }) = site {
        rows.extend([
            ("threshold of this site", format!("{threshold:.4}")),
            ("false rejects", percent(false_reject_rate)),
            ("  to expect, at most", percent(Some(promised_false_reject_rate))),
            ("missed", percent(miss_rate)),
        ]);
    }
    rows.into_iter().map(|(name, value)| format!("{name:26}  {value}")).collect::<Vec<_>>().join("\n")
}
