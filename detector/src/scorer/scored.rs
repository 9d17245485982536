//! What a scorer says of one image, and how long that took.

use std::time::Duration;

use crate::map::ScoreMap;

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

/// What a detector says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Largest patch score (L2 distance in the descriptor's units, and what [`KnownDefects`](super::KnownDefects) adds).
    pub score: f32,
    /// Patch scores per input pixel.
    pub map: ScoreMap,
    /// Durations of the stages.
    pub times: Times,
}
