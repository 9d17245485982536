use std::time::Duration;

use serde::Deserialize;

/// What line control needs to know: distances, times and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlConfig {
    /// Each product's way from trigger to actuator, by the product's number. There is at least one.
    pub timings: Vec<Timing>,
    /// Parts closer than this cannot be told apart at the actuator.
    pub spacing: Travel,
    /// What happens to a part that is unknown.
    pub on_unknown: OnUnknown,
    /// This many unknown parts in a row raise the stop output.
    pub stop_after_unknowns: Option<u32>,
    /// This many rejects in a row raise the stop output.
    pub stop_after_rejects: Option<u32>,
    /// Most parts in transit.
    pub parts: usize,
    /// A pulse that would come later than this after its time is not given: the line stops instead.
    pub tolerance: Duration,
    /// How the pulse outputs pulse.
    pub pulses: Pulses,
    /// Cameras that look at each part.
    pub views: usize,
}

/// A part's way from its trigger to the actuator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From trigger to actuator.
    pub delay: Travel,
    /// A verdict that comes later than this after the trigger does not count. Without it, the actuator is the deadline.
    pub deadline: Option<Duration>,
}

/// The pulse outputs' pulses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulses {
    /// Of the output `reject`.
    pub reject: PulseConfig,
    /// Of the output `good`.
    pub good: PulseConfig,
    /// Of the output `strobe`.
    pub strobe: PulseConfig,
}

/// How an output pulses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseConfig {
    /// How long it is active.
    pub width: Duration,
    /// Least time between two pulses.
    pub rest: Duration,
}

/// A distance on the belt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// At constant speed.
    Time(Duration),
    /// In pulses of the encoder, at any speed.
    Pulses(u32),
}

/// What happens to a part that is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It is rejected.
    #[default]
    Reject,
    /// It passes.
    Pass,
    /// The line stops.
    Stop,
}
