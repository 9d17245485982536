//! Learns one product: PatchCore's memory bank from good images, and from a few anomalous ones a defect head or a fine-tuned backbone.
//!
//! The only crate that links libtorch. Its result is a run ([`detector::run`]); the exporter turns a run into a bundle for the camera.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

pub mod adamw;
pub mod bank;
pub mod cli;
pub mod data;
pub mod defects;
pub mod describer;
pub mod evaluate;
pub mod examples;
pub mod finetune;
pub mod fit;
pub mod interrupt;
mod lesson;
mod methods;
pub mod network;
pub mod patches;
pub mod progress;
pub mod recipe;
pub mod references;
mod run_folder;
mod scoring;
pub mod split;
pub mod synth;
pub mod train;
pub mod update;
mod waiting;
pub mod weights;
