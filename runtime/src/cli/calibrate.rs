use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::Config;
use detector::calibration::{Calibration, FarOut, images_needed};
use detector::dataset;
use serde::Serialize;
use store::site::SiteThreshold;

use super::answer::Answer;
use super::seat::SeatArgs;
use super::{login, output, progress};
use crate::commissioning::calibrate::{self, NewThreshold, PARTS_LIMIT, SiteSeat};
use crate::live::signals::stop_on_signals;

/// Set this camera's own threshold from good parts
///
/// The parts come from the camera, as on the line, or from a folder of pictures that this camera took. Every part must be good. The
/// threshold is kept in the state folder, bound to the bundle, engine, network, port and picture settings; the bundle does not change, and the
/// service refuses to start with a threshold that was calibrated for something else.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration; its runtime.state names the state folder
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    seat: SeatArgs,
    /// Take the parts' pictures from this folder
    #[arg(long, value_name = "DIR", conflicts_with = "parts")]
    images: Option<PathBuf>,
    /// How many parts to take from the camera [default: as many as the rate needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PARTS_LIMIT as i64))]
    parts: Option<u32>,
    /// Share of good parts that may be rejected [default: the rate that was wished when the bundle was exported]
    #[arg(long, value_name = "SHARE")]
    rate: Option<f64>,
    /// Who calibrates, for the audit log [default: the login]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Remove this camera's thresholds instead: the bundle's own judges again
    #[arg(long, conflicts_with_all = ["images", "parts", "rate"])]
    clear: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a Path,
    #[serde(flatten)]
    overlay: &'a SiteThreshold,
    /// Whether the parts suffice for the wished rate.
    supported: bool,
    /// Parts that the wished rate needs.
    needed: usize,
    bundle_threshold: f32,
    /// `[part, score]` of the parts nearest to a reject.
    highest: Vec<(&'a str, f32)>,
    /// The first so many of them score far above the others.
    far_out: usize,
    /// The threshold without these.
    without_far_out: Option<f32>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let seat = SiteSeat::new(&config, args.seat.of(&config)?).with_context(|| args.config.display().to_string())?;
    let by = login::name(args.by.as_deref());
    if args.clear {
        let removed = seat.clear(&by)?;
        output::print(&format!("{removed} thresholds of this site removed; the bundle's own judges"))?;
        return Ok(Answer::Done);
    }
    let mut calibrator = seat.start()?;
    let own = calibrator.own().clone();
    let rate = calibrate::rate(args.rate, &own)?;
    let (scores, source) = match &args.images {
        Some(folder) => {
            let paths = dataset::images(folder)?;
            let scores = progress::with_bar("calibrate", paths.len(), |step| calibrator.score_images(&paths, step))?;
            (scores, folder.display().to_string())
        }
        None => {
            let wanted = calibrate::parts_to_take(args.parts.map(|parts| parts as usize), rate)?;
            let stop = stop_on_signals()?;
            let scores = progress::with_bar("good parts", wanted, |step| calibrator.score_parts(wanted, &stop, step))?;
            (scores, "the line".into())
        }
    };
    let threshold = calibrator.set(scores, rate, by, source)?;
    let needed = images_needed(rate);
    if args.json {
        let NewThreshold { path, threshold: overlay, highest, far_out } = &threshold;
        let supported = overlay.calibration.is_supported();
        let highest = highest.iter().map(|part| (part.part.as_str(), part.score)).collect();
        output::print_json(&Document {
            path,
            overlay,
            supported,
            needed,
            bundle_threshold: own.threshold,
            highest,
            far_out: far_out.as_ref().map_or(0, |far_out| far_out.places.len()),
            without_far_out: far_out.as_ref().map(|far_out| far_out.threshold),
        })?;
    } else {
        output::print(&summary(&threshold, &own))?;
    }
    Ok(Answer::Done)
}

/// A threshold that was set, beside the bundle's own.
fn summary(NewThreshold { threshold: overlay, highest, far_out, .. }: &NewThreshold, own: &Calibration) -> String {
    let Calibration { threshold, images, .. } = &overlay.calibration;
    let mut text = format!(
        "threshold {threshold:.4} from {images} good parts: {}\nthe bundle's own is {:.4}, in force before was {:.4}",
        overlay.calibration.describe(),
        own.threshold,
        overlay.previous
    );
    if *threshold > own.threshold {
        text += "\nhigher than the bundle's: on this camera good parts look less like those it learned from, and more defects may pass. \
                 Measure with `apc-runtime evaluate --config`, or learn from this camera's pictures (`apc-trainer update`)";
    }
    if let Some(FarOut { places, threshold }) = far_out {
        let count = places.len();
        text += &format!(
            "\nthe first {count} of the following score far above the others; without them the threshold would be {threshold:.4}"
        );
    }
    text += "\nnearest to a reject, look whether they are good:";
    highest.iter().fold(text, |text, part| text + &format!("\n  {:.4}  {}", part.score, part.part))
}
