//! Engines run the network; all give the same feature maps up to their arithmetic.

mod interface;
mod kind;
#[cfg(feature = "tract")]
mod model;
#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "tract")]
mod tract;

pub use interface::Engine;
pub use kind::{EngineKind, Machine, VariantChoice};
#[cfg(feature = "ort")]
pub use ort::OrtEngine;
#[cfg(feature = "tract")]
pub use tract::TractEngine;
