//! A seat's own threshold, from good parts: pictures that this camera took, or parts of the line.
//!
//! ```text
//! SiteSeat (may this seat have a threshold of its own?) -> Calibrator (bundle and detector) -> scores -> set
//! ```

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use config::{Config, SeatId};
use detector::bundle::Bundle;
use detector::calibration::{Calibration, FarOut, calibrate, images_needed};
use detector::files;
use detector::picture::Picture;
use detector::{Detector, Error};
use log::warn;
use store::Store;
use store::site::{self, Binding, SiteThreshold};

use super::parts::{Part, each_part};
use crate::assembly::detectors;

/// Most parts of one calibration.
pub const PARTS_LIMIT: usize = 100_000;
/// Parts with the highest scores that are named: one of them may not be good.
const NAMED: usize = 3;

/// Why a seat gets no threshold of its own.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CalibrateError {
    /// There is no state folder to keep the threshold in.
    #[error("runtime.state is not set: it names the folder that a site's threshold is kept in")]
    NoState,
    /// The configuration has a threshold for the seat.
    #[error("this view and product have a threshold of their own, {0}, which takes precedence over the site's: remove it first")]
    OwnThreshold(f32),
    /// The rate is no share.
    #[error("--rate is {0}; a share between 0 and 1 was expected, such as 0.01")]
    Rate(f64),
    /// The rate needs too many parts.
    #[error("--rate {rate} needs {parts} parts; at most {PARTS_LIMIT} are taken: choose --parts")]
    TooManyParts {
        /// The false-reject rate.
        rate: f64,
        /// Parts that it needs.
        parts: usize,
    },
}

/// The score of a good part.
#[derive(Clone, Debug, PartialEq)]
pub struct PartScore {
    /// The picture's path, or the part's number.
    pub part: String,
    /// Its score.
    pub score: f32,
}

/// A seat of a configuration that may have a threshold of its own.
#[derive(Clone, Copy, Debug)]
pub struct SiteSeat<'a> {
    config: &'a Config,
    id: SeatId,
}

impl<'a> SiteSeat<'a> {
    /// The seat, if a threshold of this site would judge there.
    ///
    /// # Errors
    /// When no state folder is named, or the configuration has a threshold for the seat.
    pub fn new(config: &'a Config, id: SeatId) -> Result<SiteSeat<'a>, CalibrateError> {
        if config.runtime.state().is_none() {
            return Err(CalibrateError::NoState);
        }
        match config.seat(id).threshold {
            Some(threshold) => Err(CalibrateError::OwnThreshold(threshold)),
            None => Ok(SiteSeat { config, id }),
        }
    }

    /// Removes the thresholds of the seat's camera, so that the bundle's own judges again. Gives their number.
    ///
    /// # Errors
    /// When the state folder cannot be changed.
    pub fn clear(&self, by: &str) -> Result<usize> {
        let role = site::role_of(self.config, self.id);
        Ok(Store::at(&self.config.runtime.state).lock()?.clear_site_thresholds(&role, by)?)
    }

    /// Reads the seat's bundle and starts its detector.
    ///
    /// # Errors
    /// When the bundle is damaged, or no engine passes its self-test.
    pub fn start(&self) -> Result<Calibrator<'a>> {
        let SiteSeat { config, id } = *self;
        let bundle = Store::at(&config.runtime.state).bundle(&config.seat(id).bundle)?;
        let detector = Detector::start(&bundle, &config.setup())?;
        Ok(Calibrator { config, id, bundle, detector })
    }
}

/// The false-reject rate of a calibration: the one that was asked for, otherwise the one wished when the bundle was exported.
///
/// # Errors
/// When it is not between 0 and 1.
pub fn rate(asked: Option<f64>, own: &Calibration) -> Result<f64, CalibrateError> {
    let rate = asked.unwrap_or(own.requested_rate);
    if rate > 0.0 && rate < 1.0 { Ok(rate) } else { Err(CalibrateError::Rate(rate)) }
}

/// How many parts to take from the line: as many as were asked for, otherwise as many as the rate needs.
///
/// # Errors
/// When the number is above [`PARTS_LIMIT`].
pub fn parts_to_take(asked: Option<usize>, rate: f64) -> Result<usize, CalibrateError> {
    let parts = asked.unwrap_or_else(|| images_needed(rate));
    if parts <= PARTS_LIMIT { Ok(parts) } else { Err(CalibrateError::TooManyParts { rate, parts }) }
}

/// A seat with its started detector.
pub struct Calibrator<'a> {
    config: &'a Config,
    id: SeatId,
    bundle: Bundle,
    detector: Detector,
}

/// A threshold that was set.
#[derive(Clone, Debug)]
pub struct NewThreshold {
    /// Its file.
    pub path: PathBuf,
    /// Its content.
    pub threshold: SiteThreshold,
    /// The parts nearest to a reject, highest score first; at least all that lie far out.
    pub highest: Vec<PartScore>,
    /// Parts whose scores lie far above the others, as places in `highest`, and the threshold without them.
    pub far_out: Option<FarOut>,
}

impl Calibrator<'_> {
    /// The bundle's own calibration.
    pub fn own(&self) -> &Calibration {
        &self.detector.calibration
    }

    /// Scores of pictures. Pictures that the bundle was made from would promise too much and are left out; copies count once. `progress` is
    /// called for each picture.
    ///
    /// # Errors
    /// When a picture cannot be read or scored.
    pub fn score_images(&mut self, paths: &[PathBuf], progress: &mut dyn FnMut()) -> Result<Vec<PartScore>> {
        let region = self.config.seat(self.id).region;
        let mut seen: HashSet<String> = self.bundle.split()?.images.into_iter().map(|image| image.sha256).collect();
        let (mut scores, mut left_out) = (Vec::new(), 0);
        for path in paths {
            progress();
            if !seen.insert(files::sha256_file(path)?) {
                left_out += 1;
                continue;
            }
            let scored = detectors::score(&mut self.detector, region, &Picture::read(path)?).map_err(Error::at(path))?;
            scores.push(PartScore { part: path.display().to_string(), score: scored.score });
        }
        if left_out > 0 {
            warn!("{left_out} of {} pictures are left out: the bundle was made from them, or they are there twice", paths.len());
        }
        Ok(scores)
    }

    /// Scores of the next parts of the line: `wanted` parts, or fewer where the source ends or `stop` becomes true. `progress` is called
    /// after each part that counts.
    ///
    /// # Errors
    /// When the source, a GPIO line or the detector fails.
    pub fn score_parts(&mut self, wanted: usize, stop: &AtomicBool, progress: &mut dyn FnMut()) -> Result<Vec<PartScore>> {
        let Calibrator { config, id, detector, .. } = self;
        let region = config.seat(*id).region;
        let mut scores = Vec::new();
        each_part(config, *id, stop, |Part { number, picture, .. }| {
            match picture {
                Ok(picture) => {
                    let part = format!("part {number}");
                    let scored = detectors::score(detector, region, &picture).with_context(|| part.clone())?;
                    scores.push(PartScore { part, score: scored.score });
                    progress();
                }
                // The line cannot judge a part without a picture either: no threshold is about such a part.
                Err(problem) => warn!("part {number} does not count: {problem}"),
            }
            Ok(if scores.len() >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if scores.len() < wanted {
            warn!("{} of {wanted} parts came", scores.len());
        }
        Ok(scores)
    }

    /// Computes the threshold from the scores of good parts and keeps it in the state folder, with its origin.
    ///
    /// # Errors
    /// When there are too few scores, or the state folder cannot be changed. The threshold is then unchanged.
    pub fn set(&self, scores: Vec<PartScore>, rate: f64, by: String, source: String) -> Result<NewThreshold> {
        let values: Vec<f32> = scores.iter().map(|part| part.score).collect();
        let calibration = calibrate(&values, rate).context("the threshold is unchanged")?;
        let (folder, role) = (&self.config.runtime.state, site::role_of(self.config, self.id));
        let binding = Binding::of(&self.detector, self.config, self.id);
        let store = Store::at(folder).lock()?;
        // A threshold that does not fit judged nothing: the bundle's was in force before.
        let previous = store.site_threshold(&role, &binding).ok().flatten();
        let previous = previous.map_or(self.own().threshold, |found| found.calibration.threshold);
        let threshold = SiteThreshold::new(by, source, previous, binding, calibration);
        let path = store.set_site_threshold(&role, &threshold)?;
        let (highest, far_out) = nearest_to_a_reject(scores, rate);
        Ok(NewThreshold { path, threshold, highest, far_out })
    }
}

/// The parts with the highest scores, highest first, and those among them that lie far out.
fn nearest_to_a_reject(mut scores: Vec<PartScore>, rate: f64) -> (Vec<PartScore>, Option<FarOut>) {
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    let far_out = FarOut::of(&scores.iter().map(|part| part.score).collect::<Vec<_>>(), rate);
    scores.truncate(far_out.as_ref().map_or(NAMED, |far_out| far_out.places.len().max(NAMED)));
    (scores, far_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_rate_decides_how_many_parts_are_taken() {
        assert_eq!(parts_to_take(None, 0.01), Ok(99));
        assert_eq!(parts_to_take(Some(10), 0.01), Ok(10));
        let error = parts_to_take(None, 1e-6).unwrap_err();
        assert_eq!(error, CalibrateError::TooManyParts { rate: 1e-6, parts: 999_999 });
        assert!(error.to_string().contains("choose --parts"), "{error}");
    }

    #[test]
    fn a_rate_is_a_share() {
        let scores: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let own = calibrate(&scores, 0.1).unwrap();
        assert_eq!((rate(None, &own), rate(Some(0.02), &own)), (Ok(0.1), Ok(0.02)));
        for wrong in [0.0, 1.0, -0.1, 1.5, f64::INFINITY] {
            assert_eq!(rate(Some(wrong), &own), Err(CalibrateError::Rate(wrong)));
        }
        assert!(rate(Some(f64::NAN), &own).is_err());
    }

    #[test]
    fn a_seat_needs_a_state_folder_and_no_threshold_of_the_configuration() {
        let seat = |text: &str| {
            let text = format!("[detector]\nbundle = \"a\"\n{text}[source.replay]\nimages = \"i\"\n");
            let config = Config::parse(Path::new("line.toml"), &text).unwrap();
            SiteSeat::new(&config, SeatId { product: 0, view: 0 }).map(|_| ())
        };
        assert_eq!(seat(""), Err(CalibrateError::NoState));
        assert_eq!(seat("[runtime]\nstate = \"s\"\n"), Ok(()));
        let own = "[runtime]\nstate = \"s\"\n[line]\ndelay_ms = 100\n[line.recipe]\nsocket = \"s\"\nstart = \"nut\"\n[recipes.nut]\n\
                   threshold = 2.5\n";
        assert_eq!(seat(own), Err(CalibrateError::OwnThreshold(2.5)));
    }

    #[test]
    fn the_parts_nearest_to_a_reject_are_named_highest_first() {
        let scores = [1.0, 4.0, 2.0, 3.0].map(|score| PartScore { part: format!("part {score}"), score });
        let (named, far_out) = nearest_to_a_reject(scores.to_vec(), 0.1);
        assert_eq!(named.iter().map(|part| part.score).collect::<Vec<_>>(), [4.0, 3.0, 2.0]);
        assert_eq!(far_out, None);
        let mut scores: Vec<_> = (0..40).map(|i| PartScore { part: format!("part {i}"), score: 1.0 + i as f32 / 40.0 }).collect();
        [9.0, 8.0, 7.0, 6.0].into_iter().zip(&mut scores).for_each(|(score, part)| part.score = score);
        let (named, far_out) = nearest_to_a_reject(scores, 0.1);
        assert_eq!((named.len(), named[0].part.as_str(), far_out.unwrap().places), (4, "part 0", vec![0, 1, 2, 3]));
    }
}
