//! One frame of a camera, through the same settings and the same decoder as live frames.

use std::time::{Duration, Instant};

use config::{CameraConfig, Config, SeatId, SourceConfig};
use detector::picture::Picture;

use crate::camera::{Camera, Capture, Source};

/// How long one wait for a frame takes at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum GrabError {
    /// The seat's source is no camera.
    #[error("the source of {view} is a replay, not a camera")]
    Replay {
        /// Name of the view.
        view: String,
    },
    /// The camera cannot be used.
    #[error(transparent)]
    Camera(#[from] detector::Error),
    /// No sound frame came in time.
    #[error("no sound frame came within {} s: {problem}", wait.as_secs())]
    NoFrame {
        /// How long the camera was given.
        wait: Duration,
        /// The damage of the last frame, if any came.
        problem: String,
    },
}

/// The camera of a seat, set as the seat's product needs it.
///
/// # Errors
/// When the source is no camera, or the camera cannot be opened or refuses a setting.
pub fn open(config: &Config, seat: SeatId) -> Result<Camera, GrabError> {
    let view = &config.views[seat.view];
    match &view.source {
        SourceConfig::Camera(camera) => {
            let controls = config.seat(seat).controls.clone();
            Ok(Camera::open(&CameraConfig { controls, ..camera.clone() }, false)?)
        }
        SourceConfig::Replay(_) => Err(GrabError::Replay { view: view.name.clone() }),
    }
}

/// The first sound frame that a source gives.
///
/// # Errors
/// When the source fails, or gives no sound frame within `wait`.
pub fn first_frame(source: &mut dyn Source, wait: Duration) -> Result<Picture, GrabError> {
    let end = Instant::now() + wait;
    let mut problem = "no frame came".to_string();
    while Instant::now() < end {
        match source.next(PATIENCE, None)? {
            Capture::Shot(shot) => match shot.picture {
                Ok(picture) => return Ok(picture),
                Err(damage) => problem = damage,
            },
            Capture::Nothing => {}
            Capture::End => break,
        }
    }
    Err(GrabError::NoFrame { wait, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Replay;
    use image::{Rgb, RgbImage};
    use std::path::Path;

    fn config(images: &Path) -> Config {
        let text = format!("[detector]\nbundle = \"a\"\n[source.replay]\nimages = {:?}\n", images.display().to_string());
        Config::parse(Path::new("line.toml"), &text).unwrap()
    }

    #[test]
    fn a_damaged_frame_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let first_frame = || {
            let config = config(folder.path());
            let SourceConfig::Replay(replay) = &config.views[0].source else { panic!("a replay") };
            super::first_frame(&mut Replay::open(replay).unwrap(), Duration::from_secs(2))
        };
        std::fs::write(folder.path().join("a.png"), "no picture").unwrap();
        let error = first_frame().unwrap_err().to_string();
        assert!(error.starts_with("no sound frame came within 2 s: ") && error.contains("a.png"), "{error}");
        RgbImage::from_pixel(5, 4, Rgb([9; 3])).save(folder.path().join("b.png")).unwrap();
        assert_eq!(first_frame().unwrap().pixels.dimensions(), (5, 4));
    }

    #[test]
    fn a_replay_is_no_camera() {
        let error = open(&config(Path::new("images")), SeatId { product: 0, view: 0 }).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the source of main is a replay, not a camera");
    }
}
