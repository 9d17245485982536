//! Examples for fine-tuning and for the defect head: varied images, defects pasted on good images, simulated defects.

mod augment;
mod batch;
mod simulate;
mod targets;

pub use batch::{Batch, Batches, Good, Sources};
pub use targets::Targets;
