//! Engines run the network; all give the same feature maps up to their arithmetic.

mod interface;
mod kind;
#[cfg(feature = "tract")]
mod model;
#[cfg(feature = "ort")]
mod ort;
mod start;
#[cfg(feature = "tract")]
mod tract;

pub use interface::Engine;
pub use kind::{EngineKind, Machine, VariantChoice};
#[cfg(feature = "ort")]
pub use ort::OrtEngine;
pub(crate) use start::start;
#[cfg(feature = "tract")]
pub use tract::TractEngine;
