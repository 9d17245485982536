//! The line configuration: a TOML file in, checked settings out.
//!
//! ```text
//! text -> raw (keys as they are written, bounds of single values) -> check (keys that depend on each other) -> Config
//! ```
//!
//! Other crates see checked settings only: a [`Config`] needs no further check. Every key is documented in `configs/line/`. This crate
//! opens no device.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

mod bounds;
mod camera;
mod check;
mod config;
mod detector_section;
mod error;
mod golden;
pub mod line;
mod log_section;
mod output;
mod pixel;
mod raw;
mod read;
mod region;
mod seat;
mod source;
#[cfg(test)]
mod tests;

pub use bounds::{SHARE_LIMIT, THREADS_LIMIT};
pub use camera::{CameraConfig, Controls, Scene, Setting};
pub use config::{ACTIVE, Config, NAME_LIMIT, PRODUCTS_LIMIT, RuntimeConfig, VIEWS_LIMIT};
pub use detector_section::DetectorConfig;
pub use error::ConfigError;
pub use golden::GoldenLimits;
pub use log_section::{LogConfig, LogLevel};
pub use output::{STANDARD_OUTPUT, VerdictsConfig};
pub use pixel::{FORMATS, FormatName, FourCc, Matrix, Range};
pub use region::as_array;
pub use seat::{MAIN, Product, Seat, SeatId, View};
pub use source::{Binding, FramesConfig, Images, ReplayConfig, SourceConfig};
