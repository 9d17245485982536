//! The memory bank: descriptors of good patches, and the search for the nearest one.

mod answer;
mod codes;
mod int8;
mod kernel;
mod memory;
mod search;
mod sketch;
mod storage;

pub use answer::{Effort, Match};
pub use codes::DIMS_LIMIT;
pub use kernel::{Kernel, kernels};
pub use memory::{MemoryBank, Quantisation};
