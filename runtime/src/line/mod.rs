//! Line control: from the trigger of a part to the pulse that passes or rejects it.
//!
//! ```text
//! trigger edge, clock, datagram ─▶ Trigger ──┐
//! picture ─────────────────────▶ Presence ───┤ part
//! code, name ──────────────────▶ Choice ─────┤ product
//! encoder edge ────────────────▶ Encoder ────┤ count
//! outcome of a view ─────────────────────────┤ verdict
//!                                            ▼
//!           Control (parts in transit, Pulse) ─▶ outputs
//!                                            │ decision
//!                                            ▼
//! outcome of each view ──────────────────▶ Ledger ─▶ outcome of the part
//!
//! part, frames of a view ─▶ Matching ─▶ frame of the part, for the detector
//! progress of the threads ─▶ Heartbeat ─▶ output `healthy`
//! ```
//!
//! Each box is a pure state machine: it takes an event and the time, and gives the actions that follow. Only the [`Ledger`]
//! allocates after its construction: the queues of the others have the capacity that the configuration gives.

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
pub use pulse::{Fired, Pulse, PulseOutput};
pub use trigger::{Edge, Trigger, TriggerCounts, TriggeredPart};
