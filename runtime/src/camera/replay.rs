//! Image files in place of a camera.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::{Images, ReplayConfig};
use detector::picture::Picture;
use detector::{Error, Result, dataset, files};

use super::settling::Settling;
use super::source::{Capture, Shot, Source};
use super::wait::wait;

/// Largest list of images.
const LIST_LIMIT: u64 = 64 << 20;

/// Replays image files at a steady rate. The next picture is decoded before it is due; at most one picture is held.
#[derive(Debug)]
pub struct Replay {
    paths: Vec<PathBuf>,
    next: usize,
    repeat: bool,
    period: Duration,
    due: Option<Instant>,
    decoded: Option<std::result::Result<Picture, String>>,
    /// Triggers that wait for their image; none if images come at the rate.
    triggers: Option<VecDeque<Instant>>,
    settling: Settling,
}

/// Most triggers that wait. Further triggers are lost, as at a sensor.
const TRIGGERS: usize = 64;

impl Replay {
    /// Lists the images; no image is opened yet.
    ///
    /// # Errors
    /// When the folder or list cannot be read or names no image.
    pub fn open(config: &ReplayConfig) -> Result<Replay> {
        let paths = list(&config.images)?;
        let period = Duration::from_secs_f64(1.0 / config.rate);
        let settling = Settling::new(0, config.settle_frames);
        Ok(Replay { paths, next: 0, repeat: config.repeat, period, due: None, decoded: None, triggers: None, settling })
    }

    /// The replay, beginning with the settings of this product.
    #[must_use]
    pub fn with_product(mut self, product: usize) -> Replay {
        self.settling.change(product, true, Instant::now());
        self
    }

    /// Gives one image for each trigger, and no image without a trigger, as a sensor in hardware trigger mode.
    pub fn wait_for_triggers(&mut self) {
        self.triggers = Some(VecDeque::with_capacity(TRIGGERS));
    }

    /// The files, in order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

impl Source for Replay {
    fn next(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Capture> {
        if self.next == self.paths.len() {
            if !self.repeat {
                return Ok(Capture::End);
            }
            self.next = 0;
        }
        let path = &self.paths[self.next];
        let decoded = self.decoded.take().unwrap_or_else(|| Picture::read(path).map_err(|error| error.to_string()));
        if let Some(triggers) = &mut self.triggers {
            let Some(at) = triggers.pop_front() else {
                self.decoded = Some(decoded);
                wait(patience, wake);
                return Ok(Capture::Nothing);
            };
            self.next += 1;
            let product = self.settling.taken(at);
            return Ok(Capture::Shot(Shot { source: path.display().to_string(), at, product, picture: decoded }));
        }
        let due = *self.due.get_or_insert_with(Instant::now);
        wait(due.saturating_duration_since(Instant::now()).min(patience), wake);
        let at = Instant::now();
        if at < due {
            self.decoded = Some(decoded);
            return Ok(Capture::Nothing);
        }
        // A late frame shifts all frames that follow: the distance between frames is never shorter than the period.
        self.due = Some(at + self.period);
        self.next += 1;
        let product = self.settling.taken(at);
        Ok(Capture::Shot(Shot { source: path.display().to_string(), at, product, picture: decoded }))
    }

    fn trigger(&mut self, at: Instant) {
        if let Some(triggers) = self.triggers.as_mut().filter(|triggers| triggers.len() < TRIGGERS) {
            triggers.push_back(at);
        }
    }

    fn set_product(&mut self, product: usize) {
        self.settling.change(product, false, Instant::now());
    }
}

fn list(images: &Images) -> Result<Vec<PathBuf>> {
    let paths = match images {
        Images::Listed(paths) => paths.clone(),
        Images::At(path) if path.extension().is_some_and(|extension| extension == "txt") => read_list(path)?,
        Images::At(path) => dataset::images(path)?,
    };
    if paths.is_empty() {
        return Err(match images {
            Images::At(path) => Error::file(path, "names no image to replay; PNG, JPEG, BMP or TIFF files were expected"),
            Images::Listed(_) => Error::invalid("source.replay.images is empty: nothing to replay"),
        });
    }
    Ok(paths)
}

fn read_list(path: &Path) -> Result<Vec<PathBuf>> {
    let bytes = files::read_bounded(path, LIST_LIMIT)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text; one path per line was expected"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| folder.join(line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    const SOON: Duration = Duration::from_secs(5);

    fn replay(images: Images, rate: f64, repeat: bool) -> Result<Replay> {
        Replay::open(&ReplayConfig { images, rate, repeat, settle_frames: 0 })
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.png"] {
            RgbImage::new(2, 2).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("c.png"), b"cut").unwrap();
        folder
    }

    fn shot(capture: Capture) -> Shot {
        match capture {
            Capture::Shot(shot) => shot,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_replayed_in_order_and_a_damaged_image_is_reported() {
        let folder = folder();
        let mut replay = replay(Images::At(folder.path().into()), 1000.0, false).unwrap();
        let shots: Vec<_> = (0..3).map(|_| shot(replay.next(SOON, None).unwrap())).collect();
        let names: Vec<_> = shots.iter().map(|shot| shot.source.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.png", "b.png", "c.png"]);
        assert!(shots[0].picture.is_ok() && shots[2].picture.as_ref().unwrap_err().contains("c.png"));
        assert!(shots.windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_millis(1)), "never faster than the rate");
        assert!(matches!(replay.next(SOON, None).unwrap(), Capture::End));
    }

    #[test]
    fn paths_of_a_list_are_relative_to_the_list_and_a_loop_goes_on() {
        let folder = folder();
        let list = folder.path().join("list.txt");
        std::fs::write(&list, "# parts\nb.png\n\n").unwrap();
        let mut replay = replay(Images::At(list), 10_000.0, true).unwrap();
        assert_eq!(replay.paths(), [folder.path().join("b.png")]);
        assert!((0..5).all(|_| shot(replay.next(SOON, None).unwrap()).picture.is_ok()));
    }

    #[test]
    fn a_waiting_replay_gives_one_image_for_each_trigger() {
        let folder = folder();
        let mut replay = replay(Images::At(folder.path().into()), 1000.0, true).unwrap();
        replay.wait_for_triggers();
        let soon = Duration::from_millis(1);
        assert!(matches!(replay.next(soon, None).unwrap(), Capture::Nothing));
        let (first, second) = (Instant::now(), Instant::now() + soon);
        replay.trigger(first);
        replay.trigger(second);
        let shots = [shot(replay.next(soon, None).unwrap()), shot(replay.next(soon, None).unwrap())];
        assert_eq!([shots[0].at, shots[1].at], [first, second]);
        assert!(shots[0].source.ends_with("a.png") && shots[1].source.ends_with("b.png"));
        assert!(matches!(replay.next(soon, None).unwrap(), Capture::Nothing));
    }

    #[test]
    fn a_wait_ends_after_its_patience() {
        let folder = folder();
        let mut replay = replay(Images::Listed(vec![folder.path().join("a.png")]), 0.001, true).unwrap();
        shot(replay.next(SOON, None).unwrap());
        assert!(matches!(replay.next(Duration::from_millis(1), None).unwrap(), Capture::Nothing));
    }

    #[test]
    fn nothing_to_replay_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("empty.txt");
        std::fs::write(&list, "# nothing\n").unwrap();
        for images in [Images::At(folder.path().into()), Images::At(list), Images::Listed(vec![])] {
            assert!(replay(images, 1.0, false).unwrap_err().to_string().contains("to replay"));
        }
        assert!(replay(Images::At(folder.path().join("none")), 1.0, false).unwrap_err().to_string().contains("none"));
    }
}
