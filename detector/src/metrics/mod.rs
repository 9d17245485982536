//! Figures of merit: how well scores separate good from anomalous images and pixels.
//!
//! [`Ranking`] holds scores with their truth, sorted once; every ranking figure is read from it. [`PixelScores`] collects
//! score maps one by one and gives the [`Ranking`] of all pixels and AUPRO. Everything is exact: each distinct score is a
//! threshold, equal scores count as ties. A score above the threshold means "anomalous", as in
//! [`crate::calibration`].

mod bins;
mod label;
mod pixels;
mod ranking;
#[cfg(test)]
mod tests;

pub use bins::Bins;
pub use label::Regions;
pub use pixels::{AUPRO_FPR_LIMIT, PixelRanking, PixelScores};
pub use ranking::{BestF1, Decisions, Ranking, RocPoint};

/// Why figures could not be computed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MetricsError {
    /// A NaN has no rank.
    #[error("score {index} is NaN: it has no rank, look at the detector that gave it")]
    NanScore {
        /// Position in the slice handed over (row by row in a map).
        index: usize,
    },
    /// Slices that belong together differ in length.
    #[error("{what} has {found} values, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length of what it belongs to.
        expected: usize,
    },
    /// The limit of AUPRO is not a rate.
    #[error("false-positive rate limit {0} is outside 0 < limit <= 1")]
    FprLimit(f64),
    /// Anomalous regions are counted in 32 bits.
    #[error("more than {} anomalous regions", u32::MAX)]
    TooManyRegions,
}

/// Maps a score to an integer of the same order, so that sorting is exact and fast; -0 and +0 are one key.
fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Inverse of [`key`].
fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

fn check(scores: &[f32]) -> Result<(), MetricsError> {
    match scores.iter().position(|s| s.is_nan()) {
        Some(index) => Err(MetricsError::NanScore { index }),
        None => Ok(()),
    }
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), MetricsError> {
    if found == expected { Ok(()) } else { Err(MetricsError::Length { what, found, expected }) }
}
