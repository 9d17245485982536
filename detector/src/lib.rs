//! What a trained detector is and how it scores one image.
//!
//! ```text
//! picture -> Preprocess -> Engine -> feature maps -> PatchDescriptor -> MemoryBank -> patch scores -> score -> Calibration
//! ```
//!
//! A `ScoreMap` is made of the patch scores when a program asks for one. This crate knows no camera, no libtorch and no service: trainer, exporter and runtime meet here and nowhere else.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

pub mod archive;
pub mod bank;
pub mod bundle;
pub mod calibration;
pub mod dataset;
pub mod descriptor;
mod detector;
pub mod engine;
mod error;
pub mod evaluate;
pub mod file_system;
pub mod files;
pub mod kinds;
pub mod map;
pub mod metrics;
pub mod network;
pub mod picture;
pub mod placement;
pub mod preprocess;
pub mod run;
pub mod scorer;
pub mod tensors;

pub use detector::{Declined, Detector, Setup};
pub use error::{EngineFault, Error, Place, Result};
