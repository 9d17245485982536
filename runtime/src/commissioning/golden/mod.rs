//! The golden part: one good part that is shown again after a camera was changed, moved or cleaned.
//!
//! Its picture, taken while everything was right, is the reference: where the part lies in the detector's region (position, rotation, scale),
//! how bright each channel is, how sharp the picture is.

mod align;
mod compare;
mod part;
mod plane;
#[cfg(test)]
mod tests;

pub use align::{Alignment, align};
pub use compare::{Finding, compare, measure};
pub use part::{Comparison, GoldenPart, GoldenPartError, ShownPicture};
pub use plane::Plane;
