use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use detector::Detector;
use serde::Serialize;

use super::answer::Answer;
use super::model_args::ModelArgs;
use super::output;
use crate::workbench::engine_in_use::EngineInUse;
use crate::workbench::score::{HeatMapNames, score};

/// Judge images, each good or anomalous
///
/// Prints verdict, score, threshold and file for each image. An image that cannot be judged is named on standard error; the others are
/// still judged, and the exit code is then 2. Anomalous images leave it at 0.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Images: PNG, JPEG, BMP or TIFF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Folder for heat maps, NAME.heatmap.png; made if missing
    #[arg(long, value_name = "DIR")]
    heatmap: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    bundle: &'a str,
    #[serde(flatten)]
    engine: EngineInUse,
    threshold: f32,
    images: Vec<Row<'a>>,
}

/// One image. Verdict and score are null where there is an error.
#[derive(Serialize)]
struct Row<'a> {
    image: &'a Path,
    verdict: Option<&'static str>,
    score: Option<f32>,
    heatmap: Option<PathBuf>,
    error: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let (_, mut detector) = args.model.start()?;
    if let Some(folder) = &args.heatmap {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let mut names = HeatMapNames::default();
    let mut images = Vec::new();
    for image in &args.images {
        let heatmap = args.heatmap.as_ref().map(|folder| folder.join(names.unique(image)));
        images.push(row(&mut detector, image, heatmap, args.json)?);
    }
    let failed = images.iter().filter(|row| row.error.is_some()).count();
    if args.json {
        let (engine, threshold) = (EngineInUse::of(&detector), detector.calibration.threshold);
        output::print_json(&Document { bundle: &detector.bundle, engine, threshold, images })?;
    }
    match failed {
        0 => Ok(Answer::Done),
        _ => bail!("{failed} of {} images could not be judged", args.images.len()),
    }
}

/// Scores one image and prints the result, unless that goes into a JSON document.
fn row<'a>(detector: &mut Detector, image: &'a Path, heatmap: Option<PathBuf>, json: bool) -> Result<Row<'a>> {
    Ok(match score(detector, image, heatmap.as_deref()) {
        Ok(judged) => {
            let (verdict, score) = (judged.verdict.word(), judged.score);
            if !json {
                let threshold = detector.calibration.threshold;
                output::print(&format!("{verdict:9}  {score:9.4}  {threshold:9.4}  {}", image.display()))?;
            }
            Row { image, verdict: Some(verdict), score: Some(score), heatmap, error: None }
        }
        Err(error) => {
            let text = error.to_string();
            output::error(&Error::new(error));
            Row { image, verdict: None, score: None, heatmap: None, error: Some(text) }
        }
    })
}
