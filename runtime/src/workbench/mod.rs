//! Judging images that lie on a disk: figures, timing, reports and heat maps.

pub mod energy;
pub mod heatmap;
pub mod processor;
pub mod report;
pub mod stage_bar;
