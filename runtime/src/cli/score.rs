use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detector::picture::Picture;
use detector::scorer::Scored;
use detector::{Detector, Error, files};
use serde::Serialize;

use super::{Answer, Judged, Model, output};
use crate::workbench::heatmap;

/// Judge images, each good or anomalous
///
/// Prints verdict, score, threshold and file for each image. An image that cannot be judged is named on standard error; the others are
/// still judged, and the exit code is then 2. Anomalous images leave it at 0.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
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
    judged: Judged,
    threshold: f32,
    images: Vec<Scoring<'a>>,
}

/// Score and verdict are null where there is an error.
#[derive(Serialize)]
struct Scoring<'a> {
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
    let mut names = Names::default();
    let mut images = Vec::new();
    for image in &args.images {
        let target = args.heatmap.as_ref().map(|folder| folder.join(names.unique(image)));
        let scoring = match score(&mut detector, image, target.as_deref()) {
            Ok((scored, anomalous)) => {
                let verdict = if anomalous { "anomalous" } else { "good" };
                if !args.json {
                    let threshold = detector.calibration.threshold;
                    output::print(&format!("{verdict:9}  {:9.4}  {threshold:9.4}  {}", scored.score, image.display()))?;
                }
                Scoring { image, verdict: Some(verdict), score: Some(scored.score), heatmap: target, error: None }
            }
            Err(error) => {
                output::error(&anyhow::Error::msg(error.to_string()));
                Scoring { image, verdict: None, score: None, heatmap: None, error: Some(error.to_string()) }
            }
        };
        images.push(scoring);
    }
    let failed = images.iter().filter(|scoring| scoring.error.is_some()).count();
    if args.json {
        let threshold = detector.calibration.threshold;
        output::print_json(&Document { bundle: &detector.bundle, judged: Judged::by(&detector), threshold, images })?;
    }
    match failed {
        0 => Ok(Answer::Done),
        _ => bail!("{failed} of {} images could not be judged", args.images.len()),
    }
}

fn score(detector: &mut Detector, image: &Path, heatmap: Option<&Path>) -> detector::Result<(Scored, bool)> {
    let picture = Picture::read(image)?;
    let scored = detector.score(&picture).map_err(|error| Error::file(image, error.to_string()))?;
    if !scored.score.is_finite() {
        return Err(Error::file(image, format!("was scored {}, which is no number to judge by", scored.score)));
    }
    if let Some(target) = heatmap {
        let prepared = detector.scorer().preprocess().prepare(&picture.pixels)?;
        let overlay = heatmap::overlay(&prepared.pixels, &scored.map(), detector.calibration.threshold)?;
        let mut png = Cursor::new(Vec::new());
        let encoded = overlay.write_to(&mut png, image::ImageFormat::Png);
        encoded.map_err(|error| Error::file(target, format!("cannot be encoded: {error}")))?;
        files::write_atomic(target, png.get_ref())?;
    }
    let anomalous = detector.is_anomalous(scored.score);
    Ok((scored, anomalous))
}

/// Names of heat maps: images of one name in several folders do not overwrite each other's.
#[derive(Default)]
struct Names {
    given: HashSet<String>,
}

impl Names {
    fn unique(&mut self, image: &Path) -> String {
        let stem = image.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = format!("{stem}.heatmap.png");
        let mut count = 1;
        while !self.given.insert(name.clone()) {
            count += 1;
            name = format!("{stem}-{count}.heatmap.png");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_maps_have_names_of_their_own() {
        let mut names = Names::default();
        let given = ["a/0.png", "b/0.png", "0-2.jpg", "c/0.tif", ".."].map(|image| names.unique(Path::new(image)));
        assert_eq!(given[..2], ["0.heatmap.png", "0-2.heatmap.png"]);
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
    }
}
