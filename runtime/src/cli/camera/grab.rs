use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result};
use config::Config;
use detector::files;

use crate::cli::answer::Answer;
use crate::cli::seat::SeatArgs;
use crate::commissioning::grab::{self, GrabError};
use crate::workbench::png;

/// Save one frame as a PNG file
///
/// The frame passes through the same settings and the same decoder as live ones.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration with a `[source.camera]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    seat: SeatArgs,
    /// The file to write
    #[arg(short, long, value_name = "FILE.png")]
    out: PathBuf,
    /// How long to wait for a frame, in seconds
    #[arg(long, default_value_t = 5)]
    wait: u64,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let seat = args.seat.of(&config)?;
    let wait = Duration::from_secs(args.wait);
    let picture = grab::open(&config, seat).and_then(|mut camera| grab::first_frame(&mut camera, wait));
    let picture = picture.map_err(|error| match error {
        GrabError::Camera(error) => Error::new(error),
        error => Error::new(error).context(args.config.display().to_string()),
    })?;
    files::write_atomic(&args.out, &png::encode(&picture)?)?;
    Ok(Answer::Done)
}
