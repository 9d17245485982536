//! Learns one product: PatchCore's memory bank from good images, and from a few anomalous ones a defect head or a fine-tuned backbone.
//!
//! The only crate that links libtorch. It leaves a run ([`detector::run`]) and never meets the camera.

pub mod adamw;
pub mod cli;
pub mod coreset;
pub mod data;
pub mod defects;
pub mod evaluate;
pub mod examples;
pub mod features;
pub mod finetune;
pub mod fit;
pub mod interrupt;
pub mod network;
pub mod patches;
pub mod progress;
pub mod recipe;
pub mod references;
pub mod split;
pub mod synth;
pub mod train;
pub mod update;
pub mod weights;
