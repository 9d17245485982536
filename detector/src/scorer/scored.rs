//! What a scorer says of one image, and how long that took.

use std::time::Duration;

use crate::map::{PatchScores, ScoreMap};

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Region, resize, normalise.
    pub preprocess: Duration,
    /// The engine, both where it looked twice.
    pub backbone: Duration,
    /// Descriptors, search and score.
    pub after_backbone: Duration,
}

impl Times {
    /// From the picture to its score. Making a score map of it is not counted: only who wants one pays for it.
    pub fn total(&self) -> Duration {
        self.preprocess + self.backbone + self.after_backbone
    }
}

/// What a detector says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Largest patch score (L2 distance in the descriptor's units, and what [`KnownDefects`](super::KnownDefects) adds).
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
