//! The scorer of a backbone and a memory bank.

use std::time::{Duration, Instant};

use super::finish::Finish;
use super::rule::ScoreRule;
use super::scored::Scored;
use super::second::SecondLook;
use super::stages::{Extractor, FeatureScorer, Features, Scorer};
use crate::bank::MemoryBank;
use crate::descriptor::{FeatureMap, PatchDescriptor, Patches};
use crate::engine::Engine;
use crate::map::PatchScores;
use crate::preprocess::{Preparer, Preprocess, Rect};
use crate::{Error, Result};

/// Scores with a backbone on any engine, descriptors and the memory bank.
pub struct PatchScorer<E> {
    engine: E,
    preparer: Preparer,
    after: AfterBackbone,
}

impl<E: Engine> PatchScorer<E> {
    /// Puts the parts together. If known defects count, the engine's last result is the defect head's.
    pub fn new(
        engine: E,
        preprocess: Preprocess,
        descriptor: PatchDescriptor,
        bank: MemoryBank,
        rule: ScoreRule,
    ) -> PatchScorer<E> {
        let finish = Finish::new(&preprocess, rule);
        PatchScorer {
            engine,
            preparer: Preparer::new(preprocess),
            after: AfterBackbone { descriptor, bank, finish, second: None },
        }
    }

    /// Lets another network decide where a score of this one is in doubt.
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

/// The stage after the backbone: descriptors, search and score.
struct AfterBackbone {
    descriptor: PatchDescriptor,
    bank: MemoryBank,
    finish: Finish,
    second: Option<SecondLook>,
}

impl AfterBackbone {
    fn score_results(&mut self, mut results: Vec<FeatureMap>, content: Rect) -> Result<(f32, PatchScores)> {
        let logits = self.finish.rule.defects.and_then(|_| results.pop());
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
        let (mut score, mut patches) = self.score_results(results, content)?;
        let mut looking = Duration::ZERO;
        if let (Some(second), Some(input)) = (&mut self.second, input)
            && second.is_in_doubt(score, threshold)
        {
            let again = Instant::now();
            let results = second.engine.run(&input)?;
            looking = again.elapsed();
            (score, patches) = self.score_results(results, content)?;
        }
        times.backbone += looking;
        times.after_backbone = start.elapsed() - looking;
        Ok(Scored { score, times, patches })
    }
}

impl<E: Engine> Scorer for PatchScorer<E> {
    fn engine(&self) -> &'static str {
        self.engine.name()
    }

    fn preprocess(&self) -> &Preprocess {
        self.preparer.rule()
    }

    fn stages(&mut self) -> (Extractor<'_>, &mut dyn FeatureScorer) {
        let keeps_input = self.after.second.is_some();
        (Extractor { engine: &mut self.engine, preparer: &mut self.preparer, keeps_input }, &mut self.after)
    }
}
