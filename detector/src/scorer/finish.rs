//! From patch distances to the image's score: the end of every scorer.

use std::sync::Arc;

use super::defects::KnownDefects;
use super::inside::Inside;
use crate::descriptor::FeatureMap;
use crate::map::{Enlarger, PatchScores, Smoothing};
use crate::preprocess::{Preprocess, Rect, Size};
use crate::{Error, Result};

/// Turns patch distances and logits into scores.
pub(super) struct Finish {
    /// The network's input.
    input: Size,
    pub(super) defects: Option<KnownDefects>,
    smoothing: Smoothing,
    /// Of the last patch grid: engines give the same one each time.
    enlarger: Option<((usize, usize), Arc<Enlarger>)>,
}

impl Finish {
    pub(super) fn new(preprocess: &Preprocess, defects: Option<KnownDefects>, smoothing: Smoothing) -> Finish {
        Finish { input: preprocess.input(), defects, smoothing, enlarger: None }
    }

    /// Scores of the image and of its patches, from the distances `[rows, columns]` of a patch grid and the logits of the defect head, if
    /// there is one. `content` is where the picture lies in the input.
    ///
    /// # Errors
    /// When a value is not a finite number, or the number of logits does not fit.
    pub(super) fn finish(
        &mut self,
        mut distances: Vec<f32>,
        logits: Option<FeatureMap>,
        grid: (usize, usize),
        content: Rect,
    ) -> Result<(f32, PatchScores)> {
        let input = (self.input.height as usize, self.input.width as usize);
        // Half precision may overflow. A comparison with NaN is false: the part would count as good.
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
            slot => slot.insert((grid, Arc::new(Enlarger::new(grid, input, self.smoothing)))),
        };
        Ok((score, PatchScores::new(distances, content, enlarger.clone())))
    }
}
