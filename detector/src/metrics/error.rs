//! Why figures could not be computed.

/// Why figures cannot be computed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MetricsError {
    /// A NaN has no rank.
    #[error("score {index} is NaN: it has no rank, look at the detector that gave it")]
    NanScore {
        /// Its position among the scores, row by row in a map.
        index: usize,
    },
    /// Slices that belong together differ in length.
    #[error("{what} has {found} values, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that was expected.
        expected: usize,
    },
    /// The limit of AUPRO is not a rate.
    #[error("false-positive rate limit {0} is outside 0 < limit <= 1")]
    FprLimit(f64),
    /// Anomalous regions are counted in 32 bits.
    #[error("more than {} anomalous regions", u32::MAX)]
    TooManyRegions,
}

pub(super) fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), MetricsError> {
    if found == expected { Ok(()) } else { Err(MetricsError::Length { what, found, expected }) }
}
