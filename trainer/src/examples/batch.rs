//! Batches to learn from: half good, half anomalous, a function of the seed and the step alone, so that a resumed run goes on as
//! if it had not stopped.

use std::path::PathBuf;

use detector::Result;
use detector::dataset::Sample;
use detector::preprocess::Preprocess;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::augment::{Example, paste, vary};
use super::simulate::simulate;
use crate::data;
use crate::recipe::Examples;

/// What batches are made of.
pub struct Sources<'a> {
    /// Good images.
    pub good: &'a [PathBuf],
    /// Anomalous samples.
    pub anomalous: &'a [Sample],
    /// From file to network input.
    pub rule: &'a Preprocess,
    /// How to vary them.
    pub choice: &'a Examples,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Makes batches.
pub struct Batches<'a> {
    sources: Sources<'a>,
    /// The few anomalous samples stay in memory.
    anomalous: Vec<Example>,
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
    /// For each image, which good images it was made from: their places in [`Sources::good`].
    pub good: Vec<Vec<usize>>,
}

impl<'a> Batches<'a> {
    /// Reads the anomalous samples.
    ///
    /// # Errors
    /// When one cannot be read or its mask does not fit.
    pub fn new(sources: Sources<'a>) -> Result<Batches<'a>> {
        let example = |sample: &Sample| {
            let pixels = data::prepare(&sample.path, sources.rule)?.pixels;
            Ok(Example { pixels, mask: data::prepare_mask(sample, sources.rule)?, anomalous: true })
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
        let mut batch = Batch { images: vec![], labels: vec![], masks: vec![], masked: vec![], good: vec![] };
        for (example, good) in examples {
            batch.images.extend(self.sources.rule.normalise(&example.pixels));
            batch.labels.push(f32::from(example.anomalous));
            batch.masked.push(f32::from(example.mask.is_some()));
            batch.good.push(good);
            let pixels = (example.pixels.width() * example.pixels.height()) as usize;
            let mask = example.mask.unwrap_or_else(|| vec![false; pixels]);
            batch.masks.extend(mask.into_iter().map(f32::from));
        }
        Ok(batch)
    }

    /// An example, and the good images it was made from.
    fn example(&self, anomalous: bool, random: &mut impl Rng) -> Result<(Example, Vec<usize>)> {
        let choice = self.sources.choice;
        let below = self.draw(random);
        let good = vary(&self.good(below)?, choice, random);
        if !anomalous {
            return Ok((good, vec![below]));
        }
        let kind = random.random::<f64>();
        Ok(match self.anomalous.choose(random) {
            _ if kind < choice.simulated => {
                let texture = self.draw(random);
                (simulate(&good, &self.good(texture)?, random), vec![below, texture])
            }
            // A pasted defect is varied apart from the part below it: new places and angles from the same few samples.
            Some(donor) if donor.mask.is_some() && kind < choice.simulated + choice.pasted => {
                (paste(&vary(donor, choice, random), &good), vec![below])
            }
            Some(donor) => (vary(donor, choice, random), vec![]),
            None => (good, vec![below]),
        })
    }

    /// A good image as the network sees it in training, `[3, height, width]`, normalised: varied, and not part of any batch.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn varied_good(&self, index: usize) -> Result<Vec<f32>> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(self.sources.seed);
        random.set_stream(u64::MAX - index as u64);
        let index = self.draw(&mut random);
        let example = vary(&self.good(index)?, self.sources.choice, &mut random);
        Ok(self.sources.rule.normalise(&example.pixels))
    }

    /// At most `count` good images as they are, spread evenly: their places in [`Sources::good`] and `[3, height, width]`, normalised.
    pub fn plain_good(&self, count: usize) -> impl Iterator<Item = Result<(usize, Vec<f32>)>> + '_ {
        let all = self.sources.good.len();
        let count = count.min(all);
        (0..count).map(move |i| i * all / count).map(|index| Ok((index, self.sources.rule.normalise(&self.good(index)?.pixels))))
    }

    fn draw(&self, random: &mut impl Rng) -> usize {
        random.random_range(0..self.sources.good.len())
    }

    fn good(&self, index: usize) -> Result<Example> {
        let pixels = data::prepare(&self.sources.good[index], self.sources.rule)?.pixels;
        let mask = Some(vec![false; (pixels.width() * pixels.height()) as usize]);
        Ok(Example { pixels, mask, anomalous: false })
    }
}
