//! From a checked configuration to what works: sources, detectors, pipeline.

pub mod detectors;
