//! The two stages of a scorer: from a picture to features, from features to a score.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::scored::{Scored, Times};
use crate::descriptor::FeatureMap;
use crate::engine::Engine;
use crate::picture::Picture;
use crate::preprocess::{Input, Prepared, Preparer, Preprocess, Rect};
use crate::{Error, Result};

/// What the network made of a picture, before it is judged.
#[derive(Debug)]
pub struct Features {
    pub(super) results: Vec<FeatureMap>,
    pub(super) content: Rect,
    pub(super) times: Times,
    /// The network's input, for a [`SecondLook`](super::SecondLook).
    pub(super) input: Option<Arc<[f32]>>,
    pub(super) threshold: Option<f32>,
}

impl Features {
    /// Takes a [`SecondLook`](super::SecondLook) near this threshold, instead of the bundle's.
    #[must_use]
    pub fn with_threshold(self, threshold: f32) -> Features {
        Features { threshold: Some(threshold), ..self }
    }
}

/// The first stage of a scorer: from a picture to the network's results.
pub struct Extractor<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) preparer: &'a mut Preparer,
    /// Whether the network's input is needed again, for a second look.
    pub(super) keeps_input: bool,
}

impl Extractor<'_> {
    /// Features of a camera's picture.
    ///
    /// # Errors
    /// When its colour is not the product's, the region does not lie in it, or the engine fails.
    pub fn extract(&mut self, picture: &Picture) -> Result<Features> {
        let (found, expected) = (picture.colour, self.preparer.rule().colour);
        if found != expected {
            return Err(Error::invalid(format!("the image is {found}; the detector was trained on {expected} images")));
        }
        let start = Instant::now();
        let input = self.preparer.prepare(&picture.pixels)?;
        self.run(input, start)
    }

    /// Features of a picture that is already at the network's size.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn extract_prepared(&mut self, prepared: &Prepared) -> Result<Features> {
        let start = Instant::now();
        let input = self.preparer.normalise(prepared);
        self.run(input, start)
    }

    fn run(&mut self, Input { values, content }: Input, start: Instant) -> Result<Features> {
        let prepared = Instant::now();
        let results = self.engine.run(&values)?;
        let times = Times { preprocess: prepared - start, backbone: prepared.elapsed(), after_backbone: Duration::ZERO };
        Ok(Features { results, content, times, input: self.keeps_input.then_some(values), threshold: None })
    }
}

/// The second stage of a scorer: from the network's results to a score.
pub trait FeatureScorer: Send {
    /// Scores features that the first stage of the same scorer has extracted.
    ///
    /// # Errors
    /// When the results are not of the form that this scorer's network gives.
    fn score(&mut self, features: Features) -> Result<Scored>;
}

/// Scores images. Calibration, evaluation and the production line use this one trait.
pub trait Scorer: Send {
    /// Name of the engine behind it.
    fn engine(&self) -> &'static str;

    /// How a picture becomes the network's input.
    fn preprocess(&self) -> &Preprocess;

    /// Both stages, which may work at the same time: one on a picture while the other works on the picture before it.
    fn stages(&mut self) -> (Extractor<'_>, &mut dyn FeatureScorer);

    /// Scores a picture that is already at the network's size.
    ///
    /// # Errors
    /// When the engine fails.
    fn score_prepared(&mut self, prepared: &Prepared) -> Result<Scored> {
        let (mut extractor, scorer) = self.stages();
        scorer.score(extractor.extract_prepared(prepared)?)
    }

    /// Scores a camera's picture.
    ///
    /// # Errors
    /// When its colour is not the product's, the region does not lie in it, or the engine fails.
    fn score(&mut self, picture: &Picture) -> Result<Scored> {
        let (mut extractor, scorer) = self.stages();
        scorer.score(extractor.extract(picture)?)
    }
}
