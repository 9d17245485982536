//! Checked settings of line control.

use std::time::Duration;

use serde::Deserialize;

/// Distances, times and limits of line control.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlConfig {
    /// The timing of each product, by the product's number. There is at least one.
    pub timings: Vec<Timing>,
    /// Parts closer than this cannot be told apart at the actuator.
    pub spacing: Travel,
    /// What the line does with an unknown part.
    pub on_unknown: OnUnknown,
    /// This many unknown parts in a row raise the stop output.
    pub stop_after_unknowns: Option<u32>,
    /// This many rejects in a row raise the stop output.
    pub stop_after_rejects: Option<u32>,
    /// Most parts in transit.
    pub parts: usize,
    /// A pulse that would be later than this is not given: the line stops instead.
    pub tolerance: Duration,
    /// The pulses of the pulse outputs.
    pub pulses: Pulses,
    /// Number of views of each part.
    pub views: usize,
}

impl ControlConfig {
    /// The delay and deadline of a product's parts. A checked configuration has them for every product; a part of any other number would be
    /// due at once and so be unknown, never lost.
    pub fn timing(&self, product: usize) -> Timing {
        let timing = self.timings.get(product).or(self.timings.first());
        timing.copied().unwrap_or(Timing { delay: Travel::Time(Duration::ZERO), deadline: None })
    }
}

/// A part's way from its trigger to the actuator, and the deadline of its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The way from trigger to actuator.
    pub delay: Travel,
    /// A verdict that comes later than this after the trigger does not count. Without a deadline, verdicts count until the part is at the
    /// actuator.
    pub deadline: Option<Duration>,
}

/// The pulses of the pulse outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulses {
    /// Pulses of the output `reject`.
    pub reject: PulseConfig,
    /// Pulses of the output `good`.
    pub good: PulseConfig,
    /// Pulses of the output `strobe`.
    pub strobe: PulseConfig,
}

/// The pulses of one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseConfig {
    /// How long the output is active.
    pub width: Duration,
    /// Least time between two pulses.
    pub rest: Duration,
}

/// A distance on the belt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// As a time, at constant speed.
    Time(Duration),
    /// In encoder pulses, at any speed.
    Pulses(u32),
}

/// What the line does with an unknown part.
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
