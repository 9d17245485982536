//! The scorer of a graph with the memory bank inside.

use std::time::Instant;

use super::finish::Finish;
use super::rule::ScoreRule;
use super::scored::{Scored, Times};
use super::stages::{Extractor, FeatureScorer, Features, Scorer};
use crate::descriptor::FeatureMap;
use crate::engine::Engine;
use crate::preprocess::{Preparer, Preprocess};
use crate::{Error, Result};

/// The scorer of a graph with the memory bank inside: an image goes in, the patches' distances come out.
pub struct FusedScorer<E> {
    engine: E,
    preparer: Preparer,
    finish: Finish,
}

impl<E: Engine> FusedScorer<E> {
    /// The engine's first output is the map of distances, `[1, rows, columns]`; if known defects count, the second one holds the defect head's
    /// logits.
    pub fn new(engine: E, preprocess: Preprocess, rule: ScoreRule) -> FusedScorer<E> {
        let finish = Finish::new(&preprocess, rule);
        FusedScorer { engine, preparer: Preparer::new(preprocess), finish }
    }
}

/// Of a fused graph, whose results are distances already.
impl FeatureScorer for Finish {
    fn score(&mut self, Features { results, content, times, .. }: Features) -> Result<Scored> {
        let start = Instant::now();
        let mut results = results.into_iter();
        let Some(FeatureMap { channels: 1, height, width, values }) = results.next() else {
            return Err(Error::invalid("the fused network gives no map of distances"));
        };
        let (score, patches) = self.finish(values, results.next(), (height, width), content)?;
        Ok(Scored { score, times: Times { after_backbone: start.elapsed(), ..times }, patches })
    }
}

impl<E: Engine> Scorer for FusedScorer<E> {
    fn engine(&self) -> &'static str {
        self.engine.name()
    }

    fn preprocess(&self) -> &Preprocess {
        self.preparer.rule()
    }

    fn stages(&mut self) -> (Extractor<'_>, &mut dyn FeatureScorer) {
        (Extractor { engine: &mut self.engine, preparer: &mut self.preparer, keeps_input: false }, &mut self.finish)
    }
}
