use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use detector::bundle::Bundle;
use detector::calibration::{Calibration, TailEstimate, calibrate, images_needed};
use detector::files;
use detector::picture::Picture;
use detector::{Detector, dataset, scorer};
use log::warn;
use serde::Serialize;

use super::seat::SeatArgs;
use super::{Answer, output};
use crate::assembly::detectors;
use crate::commissioning::parts::{Part, each_part};
use crate::live::signals::stop_on_signals;
use config::{Config, SeatId};
use detector::preprocess::Rect;
use store::Store;
use store::site::{self, Binding, SiteThreshold};

/// Most parts of one calibration.
const PARTS_LIMIT: usize = 100_000;
/// Parts with the highest scores that are named: one of them may not be good.
const NAMED: usize = 3;

/// Set this camera's own threshold from good parts
///
/// The parts come from the camera, as on the line, or from a folder of pictures that this camera took. Every one of them must be good. The
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
    /// Share of good parts that may be rejected [default: what was wished when the bundle was exported]
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
    /// `[part, score]` of those nearest to a reject.
    highest: &'a [(String, f32)],
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let folder = &config.runtime.state;
    if folder.as_os_str().is_empty() {
        bail!("{}: runtime.state is not set: it names the folder that a site's threshold is kept in", args.config.display());
    }
    let id = args.seat.of(&config)?;
    let (role, seat) = (site::role_of(&config, id), config.seat(id));
    if let Some(threshold) = seat.threshold {
        bail!(
            "{}: this view and product have a threshold of their own, {threshold}, which takes precedence over the site's: remove it first",
            args.config.display()
        );
    }
    let by = output::who(args.by.as_deref());
    if args.clear {
        let removed = Store::at(folder).lock()?.clear_site_thresholds(&role, &by)?;
        output::print(&format!("{removed} thresholds of this site removed; the bundle's own judges"))?;
        return Ok(Answer::Done);
    }
    let bundle = Store::at(folder).bundle(&seat.bundle)?;
    let mut detector = Detector::start(&bundle, &config.setup())?;
    let own = detector.calibration.clone();
    let rate = args.rate.unwrap_or(own.requested_rate);
    ensure!(rate > 0.0 && rate < 1.0, "--rate is {rate}; a share between 0 and 1 was expected, such as 0.01");
    let needed = images_needed(rate);
    let (scores, source) = match &args.images {
        Some(folder) => (from_images(&mut detector, seat.region, &bundle, folder)?, folder.display().to_string()),
        None => {
            let wanted = args.parts.map_or(needed, |parts| parts as usize);
            ensure!(wanted <= PARTS_LIMIT, "--rate {rate} needs {wanted} parts; at most {PARTS_LIMIT} are taken: choose --parts");
            (from_line(&mut detector, &config, id, wanted)?, "the line".into())
        }
    };
    let values: Vec<f32> = scores.iter().map(|(_, score)| *score).collect();
    let calibration = calibrate(&values, rate).context("the threshold is unchanged")?;
    let binding = Binding::of(&detector, &config, id);
    let store = Store::at(folder).lock()?;
    // One that does not fit judged nothing: then the bundle's was in force last.
    let previous =
        store.site_threshold(&role, &binding).ok().flatten().map_or(own.threshold, |found| found.calibration.threshold);
    let mut overlay = SiteThreshold::new(by, source, previous, binding, calibration);
    if !overlay.calibration.is_supported() {
        overlay.tail = TailEstimate::of(&values, rate);
    }
    let path = store.set_site_threshold(&role, &overlay)?;

    let mut highest = scores;
    highest.sort_by(|a, b| b.1.total_cmp(&a.1));
    highest.truncate(NAMED);
    if args.json {
        let supported = overlay.calibration.is_supported();
        let (path, overlay, highest) = (path.as_path(), &overlay, highest.as_slice());
        output::print_json(&Document { path, overlay, supported, needed, bundle_threshold: own.threshold, highest })?;
    } else {
        output::print(&told(&overlay, &own, needed, &highest))?;
    }
    Ok(Answer::Done)
}

fn told(overlay: &SiteThreshold, own: &Calibration, needed: usize, highest: &[(String, f32)]) -> String {
    let Calibration { threshold, false_reject_rate, requested_rate, images, .. } = &overlay.calibration;
    let mut text = format!(
        "threshold {threshold:.4} from {images} good parts: on average at most {:.2} % of good parts are rejected\n\
         the bundle's own is {:.4}, in force before was {:.4}",
        false_reject_rate * 100.0,
        own.threshold,
        overlay.previous
    );
    if !overlay.calibration.is_supported() {
        text += &format!("\n{images} parts are too few to promise {:.2} %: that needs {needed}", requested_rate * 100.0);
        text += &match &overlay.tail {
            Some(tail) => format!(
                "; by the tail of the scores, its threshold may be near {:.4} (90 % interval {:.4} to {:.4})",
                tail.threshold, tail.low, tail.high
            ),
            None => "; they are too few for an estimate, too".into(),
        };
    }
    if *threshold > own.threshold {
        text += "\nhigher than the bundle's: on this camera good parts look less like those it learned from, and more defects may pass. \
                 Measure with `apc-runtime evaluate --config`, or learn from this camera's pictures (`apc-trainer update`)";
    }
    text += "\nnearest to a reject, look whether they are good:";
    highest.iter().fold(text, |text, (part, score)| text + &format!("\n  {score:.4}  {part}"))
}

/// Scores of a folder's pictures. Those that the bundle was made from would promise too much; copies count once.
fn from_images(detector: &mut Detector, region: Option<Rect>, bundle: &Bundle, folder: &Path) -> Result<Vec<(String, f32)>> {
    let paths = dataset::images(folder)?;
    let mut seen: HashSet<String> = bundle.split()?.images.into_iter().map(|image| image.sha256).collect();
    let (bar, mut scores, mut left_out) = (output::progress("calibrate", paths.len()), Vec::new(), 0);
    for path in &paths {
        bar.inc(1);
        if !seen.insert(files::sha256_file(path)?) {
            left_out += 1;
            continue;
        }
        let scored = detectors::score(detector, region, &Picture::read(path)?).with_context(|| path.display().to_string())?;
        scores.push((path.display().to_string(), scored.score));
    }
    bar.finish_and_clear();
    if left_out > 0 {
        warn!("{left_out} of {} pictures are left out: the bundle was made from them, or they are there twice", paths.len());
    }
    Ok(scores)
}

/// Scores of the next `wanted` parts of the line.
fn from_line(detector: &mut Detector, config: &Config, id: SeatId, wanted: usize) -> Result<Vec<(String, f32)>> {
    let (stop, region) = (stop_on_signals()?, config.seat(id).region);
    let bar = output::progress("good parts", wanted);
    let mut scores = Vec::new();
    each_part(config, id, &stop, |Part { number, picture, .. }| {
        match picture {
            Ok(picture) => {
                let scorer::Scored { score, .. } =
                    detectors::score(detector, region, &picture).with_context(|| format!("part {number}"))?;
                scores.push((format!("part {number}"), score));
                bar.inc(1);
            }
            // A part without a picture is unknown on the line too: no threshold is about it.
            Err(problem) => warn!("part {number} does not count: {problem}"),
        }
        Ok(if scores.len() >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    bar.finish_and_clear();
    if scores.len() < wanted {
        warn!("{} of {wanted} parts came", scores.len());
    }
    Ok(scores)
}
