//! A second look at parts near the threshold.

use crate::engine::Engine;

/// Default of [`SecondLook::share`]: as much as the exporter lets int8 scores differ from float ones.
pub const SECOND_LOOK: f32 = 0.02;

/// The network that decides where a faster one is in doubt: a part whose score is near the threshold gets the score of this network.
pub struct SecondLook {
    /// Runs the network, whose results have the form of the faster one's.
    pub engine: Box<dyn Engine>,
    /// Scores are in doubt within this share of the threshold.
    pub share: f32,
    /// The threshold of features that carry none.
    pub threshold: f32,
}

impl SecondLook {
    pub(super) fn is_in_doubt(&self, score: f32, threshold: Option<f32>) -> bool {
        let threshold = threshold.unwrap_or(self.threshold);
        (score - threshold).abs() <= self.share * threshold.abs()
    }
}
