//! Figures of merit: how well scores separate good from anomalous images and pixels.
//!
//! [`Ranking`] holds scores with their truth, sorted once; every ranking figure is read from it. [`PixelScores`] collects
//! score maps one by one and gives the [`Ranking`] of all pixels and AUPRO. Everything is exact: each distinct score is a
//! threshold, equal scores count as ties. A score above the threshold means "anomalous", as in
//! [`crate::calibration`].

mod bins;
mod error;
mod keys;
mod label;
mod pixels;
mod ranking;
#[cfg(test)]
mod tests;

pub use bins::Bins;
pub use error::MetricsError;
pub use label::Regions;
pub use pixels::{AUPRO_FPR_LIMIT, PixelRanking, PixelScores};
pub use ranking::{BestF1, Decisions, Ranking, RocPoint};
