//! From a checked configuration to the running service: detectors, sources, the pipeline and its line.

pub mod detectors;
pub mod requests;
pub mod seats;
pub mod service;
pub mod sources;
