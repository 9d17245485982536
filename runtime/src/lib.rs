//! The camera service: frames in, verdicts out.
//!
//! ```text
//! Source -> capture thread -> Mailbox | PartQueue -> detector thread -> outcomes -> verdict lines
//! ```
//!
//! What happens to a frame is decided by a pure state machine ([`pipeline::Intake`]); threads only carry it out.

pub mod camera;
pub mod cli;
pub mod config;
pub mod heatmap;
pub mod pipeline;
pub mod report;
