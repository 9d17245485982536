//! The data that the camera's programs exchange about a part.
//!
//! A [`Verdict`] says whether a part is good, anomalous or unknown. A [`Disposition`] is what the production line did with the part. An
//! [`Outcome`] holds both, with score, latency and frame. A [`VerdictLine`] is an outcome as other programs read it.
//!
//! This crate holds data and their rules only: it uses no camera, detector or file.

mod disposition;
mod line;
mod outcome;
mod output;
mod reason;
mod verdict;

pub use disposition::Disposition;
pub use line::{JudgedBy, VerdictLine, ViewLine};
pub use outcome::{Outcome, ScoredVerdict, Ticket};
pub use output::{Output, OutputLine};
pub use reason::Reason;
pub use verdict::Verdict;
