//! Line control: from the trigger of a part to the pulse that passes or rejects it.
//!
//! ```text
//! edges ─▶ Trigger ─▶ part ─┬─▶ Control (queue of parts in transit) ─▶ outputs, settled parts
//!          Encoder ─ count ─┘            ▲
//!                     part ─▶ Matching ─▶ frame of the part ─▶ detector ─▶ verdict
//! ```
//!
//! Everything that decides is a pure state machine that takes an event and the time and says what to do. None of them allocates after
//! it was made: their queues have the capacity that the configuration gives.

mod control;
mod encoder;
mod heartbeat;
mod ledger;
mod link;
mod matching;
mod pulse;
pub mod realtime;
#[cfg(test)]
mod simulation;
mod thread;
mod trigger;

pub use control::{Action, Control, Disposition, Event, Found, Place, Settled, StopCause};
pub use encoder::{Encoder, EncoderEdge, Turn};
pub use heartbeat::Heartbeat;
pub use ledger::Ledger;
pub use link::{Command, LineLink, Report};
pub use matching::{Match, Matching, MatchingEvent};
pub use pulse::{Fired, Pulse};
pub use thread::{LineError, LineThread};
pub use trigger::{Edge, Seen, Trigger, TriggerCounts};
