use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use config::{Config, MAIN, SeatId, SourceConfig};
use detector::picture::Picture;
use detector::preprocess::Rect;
use log::warn;
use store::Store;
use store::golden::{Capture, Golden};

use super::compare::{Finding, compare, measure};
use crate::commissioning::parts::each_part;
use crate::workbench::png;

/// Why a golden part cannot be kept or compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoldenPartError {
    /// There is no state folder to keep it in.
    #[error("runtime.state is not set: it names the folder that the golden part is kept in")]
    NoState,
    /// It was never captured.
    #[error("no golden part was captured in {0}: `apc-runtime station golden --capture` while everything is right")]
    NotCaptured(PathBuf),
    /// The bundle looks at another region now.
    #[error("the golden part was captured for another region of the picture than the bundle's: capture it again")]
    OtherRegion,
    /// The source ended.
    #[error("no part with a sound picture came")]
    NoPicture,
}

/// A picture that shows the golden part.
#[derive(Clone, Debug)]
pub struct ShownPicture {
    /// The camera or file that it came from.
    pub source: String,
    /// The whole picture.
    pub picture: Picture,
}

/// A comparison with the reference.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The record of the golden part.
    pub golden: Golden,
    /// Each measure with its limit.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Whether every measure is within its limit.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.holds)
    }
}

/// The golden part of a line configuration's first view.
#[derive(Clone, Copy, Debug)]
pub struct GoldenPart<'a> {
    config: &'a Config,
    state: &'a Path,
    region: Option<Rect>,
}

impl<'a> GoldenPart<'a> {
    /// The state folder of a configuration, where the golden part is kept.
    ///
    /// # Errors
    /// When none is named.
    pub fn state_folder(config: &Config) -> Result<&Path, GoldenPartError> {
        config.runtime.state().ok_or(GoldenPartError::NoState)
    }

    /// The golden part in a state folder, in the region of the configuration's bundle.
    ///
    /// # Errors
    /// When the bundle cannot be read.
    pub fn new(config: &'a Config, state: &'a Path) -> Result<GoldenPart<'a>> {
        let region = Store::at(state).bundle(&config.detector.bundle)?.manifest.input.region;
        Ok(GoldenPart { config, state, region })
    }

    /// The next part's sound picture, with the product that the line begins with.
    ///
    /// # Errors
    /// When the source or a GPIO line fails, or the source ends first.
    pub fn next_picture(&self, stop: &AtomicBool) -> Result<ShownPicture> {
        let seat = SeatId { product: self.config.first_product(), view: 0 };
        let mut shown = None;
        each_part(self.config, seat, stop, |part| {
            match part.picture {
                Ok(picture) => shown = Some(ShownPicture { source: part.source, picture }),
                Err(problem) => warn!("part {}: {problem}", part.number),
            }
            Ok(if shown.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(shown.ok_or(GoldenPartError::NoPicture)?)
    }

    /// Keeps a picture as the reference, in place of the one before.
    ///
    /// # Errors
    /// When the region does not lie in the picture, or the state folder cannot be changed.
    pub fn capture(&self, shown: &ShownPicture, by: &str) -> Result<Golden> {
        let region = self.region_of(&shown.picture)?;
        let (png, measures) = (png::encode(&region)?, measure(&region.pixels));
        let capture = Capture { png: &png, measures, region: self.region, by, source: &shown.source };
        Ok(Store::at(self.state).lock()?.write_golden(MAIN, &capture)?)
    }

    /// Compares a picture with the reference.
    ///
    /// # Errors
    /// When there is no reference, it shows another region or is damaged, or the region does not lie in the picture.
    pub fn compare(&self, shown: &ShownPicture) -> Result<Comparison> {
        let region = self.region_of(&shown.picture)?;
        let Some((golden, reference)) = Store::at(self.state).golden(MAIN)? else {
            return Err(GoldenPartError::NotCaptured(self.state.to_owned()).into());
        };
        if golden.region != self.region {
            return Err(GoldenPartError::OtherRegion.into());
        }
        let mm_per_pixel = match &self.config.views[0].source {
            SourceConfig::Camera(camera) => camera.scene.map(|scene| scene.width_mm / f64::from(camera.width)),
            SourceConfig::Replay(_) => None,
        };
        let findings = compare(&reference, &region.pixels, &self.config.golden, mm_per_pixel);
        Ok(Comparison { golden, findings })
    }

    /// The region of a picture that the detector looks at.
    fn region_of(&self, picture: &Picture) -> Result<Picture> {
        let pixels = match self.region {
            None => picture.pixels.clone(),
            Some(region) => region.crop(&picture.pixels).context("the detector's region cannot be cut out")?,
        };
        Ok(Picture { pixels, colour: picture.colour })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::picture::Colour;
    use image::{Rgb, RgbImage};

    fn config(state: &Path) -> Config {
        let text = format!(
            "[detector]\nbundle = \"a.apc\"\n[runtime]\nstate = {:?}\n[source.replay]\nimages = \"i\"\n",
            state.display().to_string()
        );
        Config::parse(Path::new("line.toml"), &text).unwrap()
    }

    /// A bright square on a dark ground.
    fn shown(left: u32, light: u8) -> ShownPicture {
        let pixels = RgbImage::from_fn(160, 120, |x, y| {
            let inside = (left..left + 50).contains(&x) && (40..75).contains(&y);
            Rgb([if inside { light } else { 40 }; 3])
        });
        ShownPicture { source: "a.png".into(), picture: Picture { pixels, colour: Colour::Rgb } }
    }

    #[test]
    fn a_captured_part_is_the_reference_of_its_region() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let state = GoldenPart::state_folder(&config).unwrap();
        let part = GoldenPart { config: &config, state, region: Some(Rect { x: 10, y: 10, width: 140, height: 100 }) };
        let problem = |error: anyhow::Error| error.downcast::<GoldenPartError>().unwrap();
        assert_eq!(problem(part.compare(&shown(50, 200)).unwrap_err()), GoldenPartError::NotCaptured(state.to_owned()));
        let golden = part.capture(&shown(50, 200), "ana").unwrap();
        assert_eq!((golden.by.as_str(), golden.source.as_str(), golden.region), ("ana", "a.png", part.region));
        assert!(part.compare(&shown(50, 200)).unwrap().holds());
        let moved = part.compare(&shown(62, 200)).unwrap();
        let failed: Vec<_> = moved.findings.iter().filter(|finding| !finding.holds).map(|finding| finding.measure).collect();
        assert_eq!((moved.holds(), failed.as_slice()), (false, ["position"].as_slice()));
        let other = GoldenPart { region: None, ..part };
        assert_eq!(problem(other.compare(&shown(50, 200)).unwrap_err()), GoldenPartError::OtherRegion);
        let outside = GoldenPart { region: Some(Rect { x: 100, y: 0, width: 100, height: 10 }), ..part };
        assert!(outside.compare(&shown(50, 200)).unwrap_err().to_string().contains("region cannot be cut out"));
    }

    #[test]
    fn a_golden_part_needs_a_state_folder() {
        let text = "[detector]\nbundle = \"a\"\n[source.replay]\nimages = \"i\"\n";
        let config = Config::parse(Path::new("line.toml"), text).unwrap();
        assert_eq!(GoldenPart::state_folder(&config), Err(GoldenPartError::NoState));
    }
}
