//! What fine-tuning and the defect head learn from: varied images, defects moved onto good images, simulated defects.

mod augment;
mod batch;
mod simulate;
mod targets;

pub use batch::{Batch, Batches, Good, Sources};
pub use targets::Targets;
