//! Learns one product: PatchCore's memory bank from good images, after fine-tuning the backbone with a few anomalous ones.
//!
//! The only crate that links libtorch. It leaves a run ([`detector::run`]) and never meets the camera.

pub mod apc;
pub mod cli;
pub mod coreset;
pub mod data;
pub mod evaluate;
pub mod features;
pub mod interrupt;
pub mod network;
pub mod patches;
pub mod progress;
pub mod recipe;
pub mod references;
pub mod split;
pub mod synth;
pub mod train;
pub mod weights;
