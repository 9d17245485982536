//! A small product for tests: pictures, a data set and a finished run, without libtorch and in under a second.
//!
//! End-to-end tests live in `e2e/`; the exporter's own tests use this library too. Everything is seeded. As this is for tests
//! only, whatever goes wrong panics.

#![allow(clippy::disallowed_methods, reason = "files of tests may be half written")]

pub mod naive;
pub mod product;
mod run;

pub use run::SyntheticRun;
