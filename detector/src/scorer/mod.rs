//! Scoring one image: network, descriptors, memory bank, score.

mod defects;
mod finish;
mod fused;
mod inside;
mod patch;
mod places;
mod rule;
mod scored;
mod second;
mod stages;
#[cfg(test)]
mod tests;

pub use defects::{KnownDefects, MapShare};
pub use fused::FusedScorer;
pub use inside::Inside;
pub use patch::PatchScorer;
pub use places::Places;
pub use rule::{ScoreRule, Terms};
pub use scored::{Scored, Times};
pub use second::{SECOND_LOOK, SecondLook};
pub use stages::{Extractor, FeatureScorer, Features, Scorer};
