//! The memory bank: descriptors of many images, on disk, and the patches selected from them.

mod coreset;
mod fill;
mod store;

pub use self::fill::{Contents, fill};
pub use self::store::Filled;
