//! The camera service: frames in, verdicts out.
//!
//! ```text
//! Source -> capture thread -> Mailbox | PartQueue -> network thread -> detector thread -> outcomes -> verdict lines
//!  edges -> line thread (trigger, parts in transit, outputs)   <- verdicts
//! ```
//!
//! What happens to a frame is decided by a pure state machine ([`live::Intake`]); threads only carry it out.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

pub mod assembly;
pub mod camera;
pub mod cli;
pub mod commissioning;
pub mod gpio;
pub mod line;
pub mod live;
pub mod workbench;
