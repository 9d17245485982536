//! The live service: what a source delivers becomes outcomes, one for each part.
//!
//! Decisions are made by [`Intake`] and by the machines of [`crate::line`]; [`Pipeline`] and [`LineThread`] are the threads that carry
//! them out. Every queue is bounded: frames by [`Intake`], outcomes by a channel that makes its writers wait.

pub mod capture;
pub mod clock;
mod intake;
pub mod journal;
mod line_error;
mod line_thread;
mod link;
pub mod progress;
mod queue;
pub mod realtime;
mod reporting;
pub mod service;
pub mod signals;
#[cfg(test)]
mod simulation;
mod socket;
mod summary;
mod threads;
mod view_thread;
pub mod wake;

pub use intake::{Action, Event, Intake};
pub use line_error::LineError;
pub use line_thread::LineThread;
pub use link::{Command, LineLink, Report};
pub use queue::{Frame, Mailbox, PartQueue};
pub use reporting::Notice;
pub use summary::Summary;
pub use threads::{Pipeline, PipelineError};
