use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use detector::files;

use super::Answer;
use crate::camera::{Camera, Capture, Source};
use crate::cli::output;
use crate::cli::seat::SeatArgs;
use config::{CameraConfig, Config, SourceConfig};

/// How often a stop is looked for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which camera, and how it is set.
#[derive(clap::Args)]
struct CameraArgs {
    /// The line configuration with a `[source.camera]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    seat: SeatArgs,
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

pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut camera = args.camera.open()?;
    let end = Instant::now() + Duration::from_secs(args.wait);
    let mut problem = "no frame came".to_string();
    while Instant::now() < end {
        match camera.next(PATIENCE, None)? {
            Capture::Shot(shot) => match shot.picture {
                Ok(picture) => {
                    files::write_atomic(&args.out, &output::png(&picture)?)?;
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

impl CameraArgs {
    fn open(&self) -> Result<Camera> {
        let config = Config::read(&self.config)?;
        let seat = self.seat.of(&config)?;
        match &config.views[seat.view].source {
            SourceConfig::Camera(camera) => {
                let controls = config.seat(seat).controls.clone();
                Ok(Camera::open(&CameraConfig { controls, ..camera.clone() }, false)?)
            }
            SourceConfig::Replay(_) => {
                bail!("{}: the source of {} is a replay, not a camera", self.config.display(), config.views[seat.view].name)
            }
        }
    }
}
