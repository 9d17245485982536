//! The camera service: frames in, verdicts out.
//!
//! ```text
//! Source -> capture thread -> Mailbox | PartQueue -> network thread -> detector thread -> outcomes -> verdict lines
//!  edges -> line thread (trigger, parts in transit, outputs)   <- verdicts
//! ```
//!
//! What happens to a frame is decided by a pure state machine ([`pipeline::Intake`]); threads only carry it out.

pub mod camera;
pub mod cli;
pub mod clock;
pub mod config;
pub mod golden;
pub mod gpio;
pub mod heatmap;
pub mod line;
pub mod live {
    //! What runs beside inspection.

    pub mod journal;
}
pub mod pipeline;
pub mod products;
pub mod progress;
pub mod report;
pub mod service;
pub mod state;
