//! Batches to learn from: half good, half anomalous. A batch depends on the seed and the step alone, so that a resumed run learns the
//! same as one that was not stopped.

use std::path::PathBuf;

use detector::Result;
use detector::dataset::Sample;
use detector::preprocess::{Prepared, Preprocess, Rect};
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::augment::{Example, paste, vary};
use super::simulate::simulate;
use crate::data;
use crate::recipe::Examples;

/// Images and settings that batches are made from.
pub struct Sources<'a> {
    /// Good images.
    pub good: &'a [PathBuf],
    /// The fold of each good image.
    pub folds: Vec<usize>,
    /// Anomalous samples.
    pub anomalous: &'a [Sample],
    /// The fold of each anomalous sample.
    pub anomalous_folds: Vec<usize>,
    /// From file to network input.
    pub rule: &'a Preprocess,
    /// How to vary them.
    pub choice: &'a Examples,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Maker of batches.
pub struct Batches<'a> {
    sources: Sources<'a>,
    /// The few anomalous samples stay in memory.
    anomalous: Vec<Example>,
}

/// One good image, not part of a batch.
pub struct Good {
    /// `[3, height, width]`, normalised.
    pub image: Vec<f32>,
    /// Rectangle of the picture; the rest is a letterbox's padding.
    pub content: Rect,
}

/// Images and targets of one step, all row-major.
pub struct Batch {
    /// `[batch, 3, height, width]`, normalised.
    pub images: Vec<f32>,
    /// `[batch]`, 1 for anomalous.
    pub labels: Vec<f32>,
    /// `[batch, height, width]`, 1 for anomalous pixels.
    pub masks: Vec<f32>,
    /// `[batch]`, 1 where the mask is known.
    pub masked: Vec<f32>,
    /// For each image, the folds of the images that it was made from.
    pub folds: Vec<Vec<usize>>,
}

impl<'a> Batches<'a> {
    /// Reads the anomalous samples.
    ///
    /// # Errors
    /// When one cannot be read or its mask does not fit.
    pub fn new(sources: Sources<'a>) -> Result<Batches<'a>> {
        let example = |sample: &Sample| {
            let pixels = data::prepare(&sample.path, sources.rule)?.pixels;
            let mask = data::prepare_mask(sample, sources.rule)?;
            // The mask of a very small defect is empty at the network's size, and would teach that the whole image is good.
            let mask = mask.filter(|mask| mask.contains(&true));
            if mask.is_none() && sample.mask.is_some() {
                log::warn!("{}: its mask is empty at the network's size; only its label is learned from", sample.path.display());
            }
            Ok(Example { pixels, mask, anomalous: true })
        };
        let anomalous = sources.anomalous.par_iter().map(example).collect::<Result<_>>()?;
        Ok(Batches { sources, anomalous })
    }

    /// Images in a batch.
    pub fn size(&self) -> usize {
        self.sources.choice.batch
    }

    /// The batch of one step.
    ///
    /// # Errors
    /// When a good image cannot be read.
    pub fn make(&self, step: usize) -> Result<Batch> {
        let size = self.size();
        let example = |slot: usize| -> Result<(Example, Vec<usize>)> {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(self.sources.seed);
            random.set_stream((step * size + slot) as u64);
            self.example(slot * 2 >= size, &mut random)
        };
        let examples = (0..size).into_par_iter().map(example).collect::<Result<Vec<_>>>()?;
        let mut batch = Batch { images: vec![], labels: vec![], masks: vec![], masked: vec![], folds: vec![] };
        for (example, folds) in examples {
            batch.images.extend(self.sources.rule.normalise(&example.pixels));
            batch.labels.push(f32::from(example.anomalous));
            batch.masked.push(f32::from(example.mask.is_some()));
            batch.folds.push(folds);
            let pixels = (example.pixels.width() * example.pixels.height()) as usize;
            let mask = example.mask.unwrap_or_else(|| vec![false; pixels]);
            batch.masks.extend(mask.into_iter().map(f32::from));
        }
        Ok(batch)
    }

    /// An example, and the folds of the images that it was made from.
    fn example(&self, anomalous: bool, random: &mut impl Rng) -> Result<(Example, Vec<usize>)> {
        let Sources { choice, folds, anomalous_folds, .. } = &self.sources;
        let place = self.draw(random);
        let (good, fold) = (vary(&self.good(place)?, choice, random), folds[place]);
        if !anomalous {
            return Ok((good, vec![fold]));
        }
        let kind = random.random::<f64>();
        let donor = (0..self.anomalous.len()).choose(random);
        let donor = donor.map(|place| (&self.anomalous[place], anomalous_folds[place]));
        Ok(match donor {
            _ if kind < choice.simulated => {
                let texture = self.draw(random);
                (simulate(&good, &self.good(texture)?, random), vec![fold, folds[texture]])
            }
            // A pasted defect is varied independently of the good image: few samples give many places and angles.
            Some((donor, of_donor)) if donor.mask.is_some() && kind < choice.simulated + choice.pasted => {
                (paste(&vary(donor, choice, random), &good), vec![fold, of_donor])
            }
            Some((donor, of_donor)) => (vary(donor, choice, random), vec![of_donor]),
            None => (good, vec![fold]),
        })
    }

    /// A good image as the network sees it in training: varied, and not part of any batch.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn varied_good(&self, index: usize) -> Result<Good> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(self.sources.seed);
        random.set_stream(u64::MAX - index as u64);
        let Prepared { pixels, content } = self.prepared(self.draw(&mut random))?;
        let example = vary(&Example::good(pixels), self.sources.choice, &mut random);
        Ok(Good { image: self.sources.rule.normalise(&example.pixels), content })
    }

    fn draw(&self, random: &mut impl Rng) -> usize {
        random.random_range(0..self.sources.good.len())
    }

    fn prepared(&self, index: usize) -> Result<Prepared> {
        data::prepare(&self.sources.good[index], self.sources.rule)
    }

    fn good(&self, index: usize) -> Result<Example> {
        Ok(Example::good(self.prepared(index)?.pixels))
    }
}
