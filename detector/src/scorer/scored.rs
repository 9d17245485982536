//! The score of one image, and how long it took.

use std::time::Duration;

use crate::map::{PatchScores, ScoreMap};

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Region, resize, normalise.
    pub preprocess: Duration,
    /// The engine; with a second look, both networks.
    pub backbone: Duration,
    /// Descriptors, search and score.
    pub after_backbone: Duration,
}

impl Times {
    /// From the picture to its score. A score map is not counted: it is made only for a caller that asks for one.
    pub fn total(&self) -> Duration {
        self.preprocess + self.backbone + self.after_backbone
    }
}

/// The result of scoring one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Largest score of a patch by the detector's [`ScoreRule`](super::ScoreRule): an L2 distance in the descriptor's units, less what
    /// good parts have at its place, and the share of known defects.
    pub score: f32,
    /// Durations of the stages.
    pub times: Times,
    pub(crate) patches: PatchScores,
}

impl Scored {
    /// Makes the score map: patch scores per pixel of the network's input. Each call computes it again.
    pub fn map(&self) -> ScoreMap {
        self.patches.map()
    }
}
