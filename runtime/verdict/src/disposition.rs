//! The disposition of a part.

use serde::{Deserialize, Serialize};

/// What the production line did with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// A `good` pulse.
    Pass,
    /// A `reject` pulse.
    Reject,
    /// No pulse, and the stop output is active.
    Stop,
    /// No pulse: the service ended while the part was in transit, or there was no room to follow it.
    Nothing,
}
