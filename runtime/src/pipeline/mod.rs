//! The live pipeline: what a source delivers becomes outcomes, one for each part.
//!
//! Decisions are made by [`Intake`], a pure state machine; [`Pipeline`] is the threads that carry them out. Every queue is bounded:
//! frames by [`Intake`], outcomes by a channel that makes its writers wait.

mod capture;
mod intake;
mod outcome;
mod queue;
mod replay;
mod settling;
#[cfg(test)]
mod simulation;
mod source;
mod summary;
mod threads;

pub use intake::{Action, Event, Intake};
pub use outcome::{JudgedBy, Judgement, Outcome, Reason, VerdictLine, ViewLine};
pub use queue::{Frame, Mailbox, PartQueue, Ticket};
pub use replay::Replay;
pub use settling::Settling;
pub use source::{Capture, Shot, Source};
pub use summary::Summary;
pub use threads::{News, Pipeline, PipelineError};
