use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use detector::files;
use detector::picture::{Colour, Picture};
use image::{DynamicImage, ImageFormat};
use log::warn;

use super::Answer;
use crate::camera::Camera;
use crate::cli::{output, run::stop_on_signals};
use crate::config::camera::CameraConfig;
use crate::config::recipes::MAIN;
use crate::config::{LineConfig, SourceConfig};
use crate::pipeline::{Capture, Source};

/// How often a stop is looked for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which camera, and how it is set.
#[derive(clap::Args)]
struct CameraArgs {
    /// The line configuration with a `[source.camera]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The camera of this view, where several look at a part
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    view: String,
    /// With the controls of this recipe [default: that which the line begins with]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
}

/// Save one frame as a PNG file
///
/// The frame passes through the same settings and the same decoder as live ones.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    camera: CameraArgs,
    /// The file to write
    #[arg(short, long, value_name = "FILE.png")]
    out: PathBuf,
    /// How long to wait for a frame, in seconds
    #[arg(long, default_value_t = 5)]
    wait: u64,
}

/// Save every frame as a PNG file: the images to learn from
///
/// Each frame stands for a part, as on the line: SESSION-PART.png. Lossless, and decoded as live frames are. A damaged or lost frame takes
/// a part's number and gives no file. Ends after the wished number, or with Ctrl-C.
#[derive(clap::Args)]
pub(super) struct CollectArgs {
    #[command(flatten)]
    camera: CameraArgs,
    /// The folder; made if missing
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after this many files
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Name of the session [default: seconds since 1970]
    #[arg(long, value_name = "NAME", value_parser = session)]
    session: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut camera = args.camera.open(false)?;
    let end = Instant::now() + Duration::from_secs(args.wait);
    let mut problem = "no frame came".to_string();
    while Instant::now() < end {
        match camera.next(PATIENCE)? {
            Capture::Shot(shot) => match shot.picture {
                Ok(picture) => {
                    save(&args.out, picture)?;
                    return Ok(Answer::Done);
                }
                Err(damage) => problem = damage,
            },
            Capture::Nothing => {}
            Capture::End => break,
        }
    }
    bail!("{} gave no sound frame within {} s: {problem}", args.camera.config.display(), args.wait)
}

pub(super) fn collect(args: &CollectArgs) -> Result<Answer> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create the folder {}", args.out.display()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let session = args.session.clone().unwrap_or_else(|| now.as_secs().to_string());
    let stop: Arc<AtomicBool> = stop_on_signals()?;
    let mut camera = args.camera.open(true)?;
    let (mut part, mut saved) = (0u64, 0u64);
    while !stop.load(Ordering::Relaxed) && args.count.is_none_or(|count| saved < count) {
        let shot = match camera.next(PATIENCE)? {
            Capture::Shot(shot) => shot,
            Capture::Nothing => continue,
            Capture::End => break,
        };
        part += 1;
        let path = args.out.join(format!("{session}-{part:06}.png"));
        if path.exists() {
            bail!("{} is there already: choose another --session", path.display());
        }
        match shot.picture {
            Ok(picture) => {
                save(&path, picture)?;
                saved += 1;
            }
            Err(damage) => warn!("part {part}: {damage}"),
        }
    }
    output::print(&format!("{saved} of {part} parts saved in {}", args.out.display()))?;
    Ok(Answer::Done)
}

impl CameraArgs {
    fn open(&self, bound: bool) -> Result<Camera> {
        let CameraArgs { config: path, view, recipe } = self;
        let config = LineConfig::read(path)?;
        let (views, recipes) = (config.view_names(), config.recipe_names());
        let one_of = |names: &[&str]| names.join(", ");
        ensure!(views.contains(&view.as_str()), "{} has no view {view}; expected one of {}", path.display(), one_of(&views));
        let recipe = recipe.as_deref().unwrap_or(recipes[config.first_recipe()]);
        ensure!(recipes.contains(&recipe), "{} has no recipe {recipe}; expected one of {}", path.display(), one_of(&recipes));
        match config.view_source(view) {
            SourceConfig::Camera(camera) => {
                let controls = config.product(recipe, view).controls;
                Ok(Camera::open(&CameraConfig { controls, ..camera.clone() }, bound)?)
            }
            SourceConfig::Replay(_) => bail!("{}: the source of {view} is a replay, not a camera", path.display()),
        }
    }
}

/// Grey pictures stay grey files: colour is strict.
fn save(path: &Path, picture: Picture) -> Result<()> {
    let image = match picture.colour {
        Colour::Rgb => DynamicImage::from(picture.pixels),
        // The three channels are the same: the first is the value.
        Colour::Grey => {
            let (width, height) = picture.pixels.dimensions();
            let values: Vec<u8> = picture.pixels.pixels().map(|pixel| pixel.0[0]).collect();
            image::GrayImage::from_raw(width, height, values).context("a picture lacks pixels")?.into()
        }
    };
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).with_context(|| format!("cannot encode {}", path.display()))?;
    Ok(files::write_atomic(path, png.get_ref())?)
}

/// It becomes part of file names.
fn session(name: &str) -> Result<String, String> {
    let sound = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    sound.then(|| name.to_string()).ok_or_else(|| "expected letters, digits, - and _".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_grey_in_files() {
        let folder = tempfile::tempdir().unwrap();
        for colour in [Colour::Grey, Colour::Rgb] {
            let path = folder.path().join("a.png");
            let pixels = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([(10 * x + y) as u8; 3]));
            save(&path, Picture { pixels: pixels.clone(), colour }).unwrap();
            let read = Picture::read(&path).unwrap();
            assert_eq!((read.colour, read.pixels), (colour, pixels));
        }
    }

    #[test]
    fn sessions_are_file_names() {
        assert!(session("line-2_monday").is_ok());
        assert!(session("../up").is_err() && session("").is_err());
    }
}
