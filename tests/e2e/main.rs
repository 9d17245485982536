//! End-to-end tests: the real binaries, as a user runs them.

// All of this is tests, their helpers too.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod commissioning;
mod config;
mod engines;
mod export;
mod imports;
mod journal;
mod onnx;
mod pipeline;
mod real_data;
mod recipes;
mod runtime;
mod support;
