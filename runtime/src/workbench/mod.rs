//! Examining bundles and images that lie on a disk.
//!
//! ```text
//! score      one image: verdict, score, heat map          evaluate   a data set: figures, with report/ as its page
//! bench/     how fast a bundle is on this machine: stages, overlapped, memory, energy; engines side by side
//! ```
//!
//! Nothing here knows the command line or prints. Long tasks call back after each step.

pub mod bench;
pub mod energy;
pub mod engine_in_use;
pub mod evaluate;
pub mod heatmap;
mod markup;
pub mod png;
pub mod process_memory;
pub mod processor;
pub mod report;
pub mod score;
pub mod stage_bar;
