//! The live service: the frames of the sources become outcomes, one for each part or frame.
//!
//! ```text
//! Source ─▶ capture thread ─▶ Intake ─▶ network thread ─▶ detector thread ─▶ outcomes ─┐
//!            (one for       (waiting      (features)         (verdicts)                ▼
//!             each view)      frames)                            │             reporting, on the calling thread:
//!               ▲  │                                             │             Ledger, Summary, then Notice
//!        parts, │  │ parts made                                  │ verdicts    (Journal, log, systemd)
//!       product │  │ by frames                                   │                     ▲
//!               │  ▼                                             ▼                     │
//!              LineLink ───────────────────────────────────────────── reports ─────────┘
//!                 ▲
//!                 ▼
//!            line thread ◀─ edges of GPIO lines, datagrams
//!                 └───────▶ outputs
//! ```
//!
//! The threads only carry out decisions, which [`Intake`] and the state machines of [`crate::line`] make. Every queue is bounded. A full
//! channel of outcomes makes the detector wait; no thread ever waits at [`LineLink`] or for a [`journal::Journal`].

pub mod capture;
pub mod clock;
mod detector_threads;
mod intake;
pub mod journal;
mod line_error;
mod line_thread;
mod link;
mod pipeline;
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
pub use pipeline::{Pipeline, PipelineError};
pub use queue::{Frame, Mailbox, PartQueue};
pub use reporting::Notice;
pub use summary::Summary;
