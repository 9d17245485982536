//! One image in, one score and one map out.

mod fused;
mod second;

pub use fused::FusedScorer;
pub use second::{SECOND_LOOK, SecondLook};

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bank::MemoryBank;
use crate::descriptor::{FeatureMap, PatchDescriptor, Patches};
use crate::engine::Engine;
use crate::map::{Enlarger, ScoreMap, Smoothing};
use crate::picture::Picture;
use crate::preprocess::{Prepared, Preprocess, Rect, Size};
use crate::{Error, Result};

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Region, resize, normalise.
    pub preprocess: Duration,
    /// The engine, both where it looked twice.
    pub backbone: Duration,
    /// Descriptors, search and map.
    pub after_backbone: Duration,
}

impl Times {
    /// Picture in to score and map out.
    pub fn total(&self) -> Duration {
        self.preprocess + self.backbone + self.after_backbone
    }
}

/// How the logits of the network's defect head join the distances to the memory bank: a patch scores
/// `distance + weight * ln(1 + exp(logit))`. What nobody has seen before is still judged by its distance, and no logit can excuse it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDefects {
    /// In the units of distances.
    pub weight: f32,
}

impl KnownDefects {
    /// Checks what may come from a file: a network with a defect head needs them, any other has no use for them.
    ///
    /// # Errors
    /// When the two do not fit, or the weight is out of bounds.
    pub fn validate(defects: Option<KnownDefects>, units: Option<usize>) -> Result<()> {
        match (defects, units) {
            (None, None) => Ok(()),
            (Some(KnownDefects { weight }), Some(_)) if (0.0..=1e6).contains(&weight) => Ok(()),
            (Some(KnownDefects { weight }), Some(_)) => {
                Err(Error::invalid(format!("defects.weight is {weight}; 0 to 1000000 was expected")))
            }
            _ => Err(Error::invalid("a network with a defect head needs the section [defects], and only such a network")),
        }
    }

    /// Adds the head's share to the distances.
    fn join(self, logits: &[f32], distances: &mut [f32]) {
        for (distance, logit) in distances.iter_mut().zip(logits) {
            *distance += self.weight * (logit.max(0.0) + (-logit.abs()).exp().ln_1p());
        }
    }
}

/// What a detector says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Largest patch score (L2 distance in the descriptor's units, and what [`KnownDefects`] adds).
    pub score: f32,
    /// Patch scores per input pixel.
    pub map: ScoreMap,
    /// Durations of the stages.
    pub times: Times,
}

/// What the network made of a picture, before it is judged.
#[derive(Debug)]
pub struct Features {
    results: Vec<FeatureMap>,
    content: Rect,
    times: Times,
    /// What the network saw, for a [`SecondLook`].
    input: Option<Vec<f32>>,
    threshold: Option<f32>,
}

impl Features {
    /// Near this threshold, not the bundle's, a [`SecondLook`] is taken.
    #[must_use]
    pub fn with_threshold(self, threshold: f32) -> Features {
        Features { threshold: Some(threshold), ..self }
    }
}

/// The first half of a scorer: from a picture to the network's results.
pub struct Extractor<'a> {
    engine: &'a mut dyn Engine,
    preprocess: &'a Preprocess,
    /// Whether what the network saw is seen again.
    again: bool,
}

impl Extractor<'_> {
    /// Looks at a camera's picture.
    ///
    /// # Errors
    /// When its colour is not the product's, the region does not lie in it, or the engine fails.
    pub fn extract(&mut self, picture: &Picture) -> Result<Features> {
        let (found, expected) = (picture.colour, self.preprocess.colour);
        if found != expected {
            return Err(Error::invalid(format!("the image is {found}; the detector was trained on {expected} images")));
        }
        let start = Instant::now();
        let prepared = self.preprocess.prepare(&picture.pixels)?;
        let preparing = start.elapsed();
        let mut features = self.extract_prepared(&prepared)?;
        features.times.preprocess += preparing;
        Ok(features)
    }

    /// Looks at a picture that is already at the network's size.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn extract_prepared(&mut self, prepared: &Prepared) -> Result<Features> {
        let start = Instant::now();
        let input = self.preprocess.normalise(&prepared.pixels);
        let normalised = Instant::now();
        let results = self.engine.run(&input)?;
        let times = Times { preprocess: normalised - start, backbone: normalised.elapsed(), after_backbone: Duration::ZERO };
        Ok(Features { results, content: prepared.content, times, input: self.again.then_some(input), threshold: None })
    }
}

/// The second half of a scorer: from the network's results to score and map.
pub trait FeatureScorer: Send {
    /// Judges what the first half of the same scorer has seen.
    ///
    /// # Errors
    /// When the results are not such as this scorer's network gives.
    fn score(&mut self, features: Features) -> Result<Scored>;
}

/// Judges images: the same trait in calibration, evaluation and live.
pub trait Scorer: Send {
    /// Name of the engine behind it.
    fn engine(&self) -> &'static str;

    /// What happens to a picture first.
    fn preprocess(&self) -> &Preprocess;

    /// Both halves, which may work at the same time, on one picture after another.
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

/// From patch distances to image score and map: what all scorers end with.
struct Finish {
    /// Of the network.
    input: Size,
    defects: Option<KnownDefects>,
    smoothing: Smoothing,
    enlarger: Option<((usize, usize), Enlarger)>,
}

impl Finish {
    fn new(preprocess: &Preprocess, defects: Option<KnownDefects>, smoothing: Smoothing) -> Finish {
        Finish { input: preprocess.input(), defects, smoothing, enlarger: None }
    }

    /// Score and map from the distances `[rows, columns]` of a patch grid and the defect head's logits, if there is one; `content` is
    /// where the picture lies in the input.
    fn finish(
        &mut self,
        mut distances: Vec<f32>,
        logits: Option<FeatureMap>,
        grid: (usize, usize),
        content: Rect,
    ) -> Result<(f32, ScoreMap)> {
        let input = (self.input.height as usize, self.input.width as usize);
        // Half precision may overflow. Comparisons pass over what is no number, and the part would be good.
        let logits_finite = logits.iter().flat_map(|logits| &logits.values).all(|value| value.is_finite());
        if !logits_finite || distances.iter().any(|distance| !distance.is_finite()) {
            return Err(Error::invalid("the network gives values that are no finite numbers; no verdict may come from them"));
        }
        let inside = Inside::new(grid, input, content);
        if self.smoothing.neighbourhood > 1 {
            distances = inside.means(&distances, self.smoothing.neighbourhood / 2);
        }
        if let Some(defects) = self.defects {
            let logits = logits.map_or(Vec::new(), |logits| logits.values);
            if logits.len() != distances.len() {
                let (found, expected) = (logits.len(), distances.len());
                return Err(Error::invalid(format!("the network gives {found} defect logits for {expected} patches")));
            }
            defects.join(&logits, &mut distances);
        }
        let score = inside.extend(&mut distances);
        let (_, enlarger) = match &mut self.enlarger {
            Some(made) if made.0 == grid => made,
            slot => slot.insert((grid, Enlarger::new(grid, input, self.smoothing))),
        };
        let values = enlarger.enlarge(&distances);
        Ok((score, ScoreMap { height: input.0, width: input.1, values, content }))
    }
}

/// The CPU scorer: any engine, then descriptors, bank and map.
pub struct PatchScorer<E> {
    engine: E,
    preprocess: Preprocess,
    after: AfterBackbone,
}

impl<E: Engine> PatchScorer<E> {
    /// Puts the parts together. With `defects`, the engine's last result is the defect head's.
    pub fn new(
        engine: E,
        preprocess: Preprocess,
        descriptor: PatchDescriptor,
        bank: MemoryBank,
        defects: Option<KnownDefects>,
        smoothing: Smoothing,
    ) -> PatchScorer<E> {
        let finish = Finish::new(&preprocess, defects, smoothing);
        PatchScorer { engine, preprocess, after: AfterBackbone { descriptor, bank, finish, second: None } }
    }

    /// Lets another network decide where this one is in doubt.
    #[must_use]
    pub fn with_second_look(mut self, second: SecondLook) -> PatchScorer<E> {
        self.after.second = Some(second);
        self
    }

    /// The engine alone.
    pub fn into_engine(self) -> E {
        self.engine
    }
}

/// Descriptors, search and map.
struct AfterBackbone {
    descriptor: PatchDescriptor,
    bank: MemoryBank,
    finish: Finish,
    second: Option<SecondLook>,
}

impl AfterBackbone {
    fn score_results(&mut self, mut results: Vec<FeatureMap>, content: Rect) -> Result<(f32, ScoreMap)> {
        let logits = self.finish.defects.and_then(|_| results.pop());
        let patches = self.descriptor.describe(&results)?;
        let distances = self.distances(&patches)?;
        self.finish.finish(distances, logits, (patches.height, patches.width), content)
    }

    fn distances(&self, patches: &Patches) -> Result<Vec<f32>> {
        if patches.dims != self.bank.dims() {
            let (found, expected) = (patches.dims, self.bank.dims());
            return Err(Error::invalid(format!("descriptors have {found} values, the memory bank's vectors {expected}")));
        }
        Ok(self.bank.nearest(&patches.values, patches.width)?.iter().map(|found| found.distance).collect())
    }
}

impl FeatureScorer for AfterBackbone {
    fn score(&mut self, features: Features) -> Result<Scored> {
        let Features { results, content, mut times, input, threshold } = features;
        let start = Instant::now();
        let (mut score, mut map) = self.score_results(results, content)?;
        let mut looking = Duration::ZERO;
        if let (Some(second), Some(input)) = (&mut self.second, input)
            && second.is_in_doubt(score, threshold)
        {
            let again = Instant::now();
            let results = second.engine.run(&input)?;
            looking = again.elapsed();
            (score, map) = self.score_results(results, content)?;
        }
        times.backbone += looking;
        times.after_backbone = start.elapsed() - looking;
        Ok(Scored { score, map, times })
    }
}

impl<E: Engine> Scorer for PatchScorer<E> {
    fn engine(&self) -> &'static str {
        self.engine.name()
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn stages(&mut self) -> (Extractor<'_>, &mut dyn FeatureScorer) {
        let again = self.after.second.is_some();
        (Extractor { engine: &mut self.engine, preprocess: &self.preprocess, again }, &mut self.after)
    }
}

/// Patches whose centre lies in the picture, as opposed to a letterbox's padding: a rectangle of the grid.
pub struct Inside {
    grid: (usize, usize),
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Inside {
    /// For a patch grid and an input, both (height, width), and where the picture lies in the input.
    pub fn new(grid: (usize, usize), input: (usize, usize), content: Rect) -> Inside {
        let axis = |patches: usize, pixels: usize, start: u32, length: u32| {
            let centre = |i: usize| (i as f64 + 0.5) * pixels as f64 / patches as f64;
            let (start, end) = (f64::from(start), f64::from(start) + f64::from(length));
            let first = (0..patches).find(|i| centre(*i) >= start).unwrap_or(0);
            let last = (0..patches).rev().find(|i| centre(*i) < end).unwrap_or(patches - 1);
            // A sliver of a picture between two centres still has one patch.
            if first <= last { first..last + 1 } else { last..last + 1 }
        };
        Inside {
            grid,
            rows: axis(grid.0, input.0, content.y, content.height),
            columns: axis(grid.1, input.1, content.x, content.width),
        }
    }

    /// Indices of the patches inside, row by row.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().flat_map(move |y| self.columns.clone().map(move |x| y * self.grid.1 + x))
    }

    /// Means of the distances over squares that reach `radius` patches in every direction, as far as they lie inside; distances outside
    /// stay as they are.
    fn means(&self, distances: &[f32], radius: usize) -> Vec<f32> {
        let around = |at: usize, bounds: &std::ops::Range<usize>| {
            at.saturating_sub(radius).max(bounds.start)..(at + radius + 1).min(bounds.end)
        };
        let mut means = distances.to_vec();
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let (rows, columns) = (around(y, &self.rows), around(x, &self.columns));
                let count = rows.len() * columns.len();
                let row =
                    |y: usize| distances[y * self.grid.1 + columns.start..y * self.grid.1 + columns.end].iter().sum::<f32>();
                means[y * self.grid.1 + x] = rows.map(row).sum::<f32>() / count as f32;
            }
        }
        means
    }

    /// Largest distance inside; distances outside become their nearest neighbour's inside, so that smoothing does not darken the
    /// picture's edge.
    fn extend(&self, distances: &mut [f32]) -> f32 {
        let largest = self.indices().map(|i| distances[i]).fold(0.0, f32::max);
        for y in 0..self.grid.0 {
            let row = y.clamp(self.rows.start, self.rows.end - 1);
            for x in 0..self.grid.1 {
                let column = x.clamp(self.columns.start, self.columns.end - 1);
                distances[y * self.grid.1 + x] = distances[row * self.grid.1 + column];
            }
        }
        largest
    }
}

#[cfg(test)]
mod tests;
