//! From a camera's picture to the network's input. Training and camera run this same code.

mod prepare;
mod rect;
mod resize;
mod rule;

pub use prepare::{Input, Prepared, Preparer};
pub use rect::{Rect, Size};
pub use rule::{IMAGENET_MEAN, IMAGENET_STD, Preprocess, Resize};
