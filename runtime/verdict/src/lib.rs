//! What the camera's programs say about a part.
//!
//! A [`Verdict`] is the answer to "is this part good?". A [`Disposition`] is what the production line did with the part. An [`Outcome`]
//! holds both, with the frame that they are about. A [`VerdictLine`] is the outcome as other programs read it.
//!
//! This crate holds data and the rules that belong to them, nothing else: no camera, no detector, no file.

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
