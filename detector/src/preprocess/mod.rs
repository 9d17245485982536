//! From a camera's picture to the network's input. Training and camera run this same code.

mod rect;
mod rule;

pub use rect::{Rect, Size};
pub use rule::{IMAGENET_MEAN, IMAGENET_STD, Prepared, Preprocess, Resize};
