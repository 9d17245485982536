//! From patch distances to the image's score: the end of every scorer.

use std::sync::Arc;

use super::inside::Inside;
use super::rule::{ScoreRule, Terms};
use crate::Result;
use crate::descriptor::FeatureMap;
use crate::map::{Enlarger, PatchScores};
use crate::preprocess::{Preprocess, Rect, Size};

/// Turns patch distances and logits into scores.
pub(super) struct Finish {
    /// The network's input.
    input: Size,
    pub(super) rule: ScoreRule,
    /// Of the last patch grid: engines give the same one each time.
    enlarger: Option<((usize, usize), Arc<Enlarger>)>,
}

impl Finish {
    pub(super) fn new(preprocess: &Preprocess, rule: ScoreRule) -> Finish {
        Finish { input: preprocess.input(), rule, enlarger: None }
    }

    /// Scores of the image and of its patches, from the distances `[rows, columns]` of a patch grid and the logits of the defect head, if
    /// there is one. `content` is where the picture lies in the input.
    ///
    /// # Errors
    /// When a value is not a finite number, or the number of logits or places does not fit.
    pub(super) fn finish(
        &mut self,
        distances: Vec<f32>,
        logits: Option<FeatureMap>,
        grid: (usize, usize),
        content: Rect,
    ) -> Result<(f32, PatchScores)> {
        let input = (self.input.height as usize, self.input.width as usize);
        let logits = logits.map_or(Vec::new(), |logits| logits.values);
        let terms = Terms::new(distances, logits, (grid, Inside::new(grid, input, content)), self.rule.smoothing)?;
        let score = self.rule.score(&terms)?;
        let patches = self.rule.patches(&terms)?;
        let (_, enlarger) = match &mut self.enlarger {
            Some(made) if made.0 == grid => made,
            slot => slot.insert((grid, Arc::new(Enlarger::new(grid, input, self.rule.smoothing)))),
        };
        Ok((score, PatchScores::new(patches, content, enlarger.clone())))
    }
}
