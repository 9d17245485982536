//! Line control: from the trigger of a part to the pulse that passes or rejects it.
//!
//! ```text
//! edges ─▶ Trigger ─▶ part ─┬─▶ Control (queue of parts in transit) ─▶ outputs, settled parts
//! codes ─▶ Choice ─ product ─┤            ▲
//!          Encoder ─ count ─┘            │ worst of the views
//!          part ─▶ Matching (each view) ─▶ frame of the part ─▶ detector ─▶ verdict
//! ```
//!
//! Everything that decides is a pure state machine that takes an event and the time and says what to do. None of them allocates after
//! it was made: their queues have the capacity that the configuration gives.

mod action;
mod choice;
mod control;
mod encoder;
mod heartbeat;
mod ledger;
mod matching;
mod part;
mod presence;
mod pulse;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod switching;
mod trigger;

pub use action::{Action, Decision, StopCause};
pub use choice::{Change, Choice, ChoiceEvent};
pub use control::{Control, Event};
pub use encoder::{Encoder, EncoderEdge, Turn};
pub use heartbeat::Heartbeat;
pub use ledger::Ledger;
pub use matching::{Match, Matching, MatchingEvent};
pub use part::Place;
pub use presence::Presence;
pub use pulse::{Fired, Pulse};
pub use trigger::{Edge, TriggeredPart, Trigger, TriggerCounts};
