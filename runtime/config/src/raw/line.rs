//! `[line]` as it is written.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::bounds::{bounded, pulse_ms, some_ms, some_pulse_ms, some_pulses};
use crate::line::{Bias, Level, OnUnknown, PresenceConfig, Safe};

/// Most parts in transit.
const PARTS_LIMIT: usize = 4096;
/// Most encoder pulses per second: about the highest rate at which the kernel can deliver edges.
const PULSE_RATE_LIMIT: f64 = 50_000.0;

/// `[line]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLine {
    #[serde(default, deserialize_with = "some_ms")]
    pub delay_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulses")]
    pub delay_pulses: Option<u32>,
    #[serde(default, deserialize_with = "some_ms")]
    pub spacing_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulses")]
    pub spacing_pulses: Option<u32>,
    #[serde(default, deserialize_with = "some_ms")]
    pub deadline_ms: Option<Duration>,
    #[serde(default)]
    pub on_unknown: OnUnknown,
    #[serde(default)]
    pub stop_after_unknowns: u32,
    #[serde(default)]
    pub stop_after_rejects: u32,
    #[serde(default = "default_parts", deserialize_with = "parts")]
    pub parts: usize,
    #[serde(default = "default_tolerance", deserialize_with = "pulse_ms")]
    pub tolerance_ms: Duration,
    #[serde(default = "default_heartbeat", deserialize_with = "pulse_ms")]
    pub heartbeat_ms: Duration,
    #[serde(default = "default_stall", deserialize_with = "pulse_ms")]
    pub stall_ms: Duration,
    #[serde(default)]
    pub simulated: bool,
    #[serde(default)]
    pub record: Option<PathBuf>,
    #[serde(default = "default_priority", deserialize_with = "priority")]
    pub priority: u8,
    #[serde(default)]
    pub cpu: Option<usize>,
    #[serde(default)]
    pub trigger: RawTrigger,
    #[serde(default)]
    pub recipe: Option<RawSelection>,
    #[serde(default)]
    pub encoder: Option<RawEncoder>,
    #[serde(default)]
    pub reset: Option<RawGpioLine>,
    #[serde(default)]
    pub outputs: RawOutputs,
}

impl RawLine {
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let selection = self.recipe.as_mut().and_then(|selection| selection.socket.as_mut());
        self.record.iter_mut().chain(&mut self.trigger.socket).chain(selection)
    }
}

/// `[line.trigger]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTrigger {
    #[serde(default)]
    pub mode: TriggerMode,
    #[serde(default)]
    pub input: Option<RawGpioLine>,
    #[serde(default, deserialize_with = "some_ms")]
    pub debounce_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulse_ms")]
    pub every_ms: Option<Duration>,
    #[serde(default)]
    pub socket: Option<PathBuf>,
    #[serde(default)]
    pub presence: Option<PresenceConfig>,
    #[serde(default)]
    pub sensor_waits: Option<bool>,
    #[serde(default, deserialize_with = "some_ms")]
    pub exposure_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulse_ms")]
    pub window_ms: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TriggerMode {
    #[default]
    Frame,
    Continuous,
    Hardware,
    Gpio,
    Interval,
    Software,
}

/// `[line.recipe]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSelection {
    pub code: Option<Vec<RawGpioLine>>,
    pub strobe: Option<RawGpioLine>,
    #[serde(default, deserialize_with = "some_ms")]
    pub settle_ms: Option<Duration>,
    pub socket: Option<PathBuf>,
    pub start: Option<String>,
}

/// `[line.encoder]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEncoder {
    pub a: RawGpioLine,
    pub b: Option<RawGpioLine>,
    #[serde(default)]
    pub reverse: bool,
    #[serde(deserialize_with = "pulse_rate")]
    pub max_rate: f64,
}

/// `[line.outputs]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawOutputs {
    pub reject: Option<RawOutput>,
    pub good: Option<RawOutput>,
    pub strobe: Option<RawOutput>,
    pub busy: Option<RawOutput>,
    pub healthy: Option<RawOutput>,
    pub stop: Option<RawOutput>,
}

/// An output's GPIO line and pulse. The keys of [`RawGpioLine`] are repeated: serde cannot flatten a type that refuses unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOutput {
    pub line: Option<String>,
    pub chip: Option<String>,
    pub offset: Option<u32>,
    #[serde(default)]
    pub active: Level,
    pub bias: Option<Bias>,
    #[serde(default)]
    pub safe: Safe,
    #[serde(default, deserialize_with = "some_pulse_ms")]
    pub width_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_ms")]
    pub min_gap_ms: Option<Duration>,
}

/// A GPIO line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGpioLine {
    pub line: Option<String>,
    pub chip: Option<String>,
    pub offset: Option<u32>,
    #[serde(default)]
    pub active: Level,
    pub bias: Option<Bias>,
}

fn default_parts() -> usize {
    64
}

fn default_tolerance() -> Duration {
    Duration::from_millis(5)
}

fn default_heartbeat() -> Duration {
    Duration::from_millis(100)
}

fn default_stall() -> Duration {
    Duration::from_millis(800)
}

fn default_priority() -> u8 {
    50
}

fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    bounded(deserializer, |parts| (1..=PARTS_LIMIT).contains(parts), format_args!("1 to {PARTS_LIMIT} parts"))
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    bounded(deserializer, |priority| *priority <= 99, format_args!("0 (leave it) to 99"))
}

fn pulse_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let expected = format_args!("more than 0 and at most {PULSE_RATE_LIMIT} pulses per second");
    bounded(deserializer, |rate| (1e-3..=PULSE_RATE_LIMIT).contains(rate), expected)
}
