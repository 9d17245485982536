//! Scores as integers of the same order.

use super::error::MetricsError;

/// Maps a score to an integer of the same order, so that sorting is exact and fast; -0 and +0 are one key.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Inverse of [`key`].
pub(super) fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

pub(super) fn check(scores: &[f32]) -> Result<(), MetricsError> {
    match scores.iter().position(|s| s.is_nan()) {
        Some(index) => Err(MetricsError::NanScore { index }),
        None => Ok(()),
    }
}
