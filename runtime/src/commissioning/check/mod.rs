//! A line configuration against this machine: what a service would find at its start, and whether it would keep up with the line.

mod configuration;
mod detectors;
mod line;
mod report;
mod source;

pub use configuration::{Extent, check};
pub use report::Entry;
