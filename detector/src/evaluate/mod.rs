//! Figures of a detector on a data set: the same code in trainer, exporter and runtime.

mod figures;
mod pixels;
mod result;
mod scores;
mod scoring;

pub use figures::{Figures, Latency};
pub use result::{Evaluation, ImageResult};
pub use scores::ImageScore;
pub use scoring::evaluate;
