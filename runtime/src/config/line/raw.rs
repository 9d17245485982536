//! `[line]` as it is written, and the checks of its keys against each other.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::choice::{ChosenBy, RawChoice};
use super::presence::PresenceConfig;
use super::{
    EncoderConfig, InputConfig, LineConfig, LineControlConfig, LineSettings, OnUnknown, Output, Outputs, PulseConfig, Travel,
    TriggerBy, TriggerConfig,
};
use crate::config::bounded;

/// Longest time that can be set: an hour.
const TIME_LIMIT_MS: f64 = 3_600_000.0;
/// Most parts in transit.
const PARTS_LIMIT: usize = 4096;
/// Longest way from trigger to actuator.
const PULSES_LIMIT: u32 = 100_000_000;
/// The kernel cannot deliver edges faster than about this.
const PULSE_RATE_LIMIT: f64 = 50_000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLine {
    #[serde(default, deserialize_with = "some_ms")]
    delay_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulses")]
    delay_pulses: Option<u32>,
    #[serde(default, deserialize_with = "some_ms")]
    spacing_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulses")]
    spacing_pulses: Option<u32>,
    #[serde(default, deserialize_with = "some_ms")]
    deadline_ms: Option<Duration>,
    #[serde(default)]
    on_unknown: OnUnknown,
    #[serde(default)]
    stop_after_unknowns: u32,
    #[serde(default)]
    stop_after_rejects: u32,
    #[serde(default = "default_parts", deserialize_with = "parts")]
    parts: usize,
    #[serde(default = "default_tolerance", deserialize_with = "pulse_ms")]
    tolerance_ms: Duration,
    #[serde(default = "default_heartbeat", deserialize_with = "pulse_ms")]
    heartbeat_ms: Duration,
    #[serde(default = "default_stall", deserialize_with = "pulse_ms")]
    stall_ms: Duration,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    record: Option<PathBuf>,
    #[serde(default = "default_priority", deserialize_with = "priority")]
    priority: u8,
    #[serde(default)]
    cpu: Option<usize>,
    #[serde(default)]
    trigger: RawTrigger,
    #[serde(default)]
    recipe: Option<RawChoice>,
    #[serde(default)]
    encoder: Option<EncoderConfig>,
    #[serde(default)]
    reset: Option<InputConfig>,
    #[serde(default)]
    outputs: Outputs,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    #[serde(default)]
    mode: TriggerMode,
    #[serde(default)]
    input: Option<InputConfig>,
    #[serde(default, deserialize_with = "some_ms")]
    debounce_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulse_ms")]
    every_ms: Option<Duration>,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    presence: Option<PresenceConfig>,
    #[serde(default)]
    sensor_waits: Option<bool>,
    #[serde(default, deserialize_with = "some_ms")]
    exposure_ms: Option<Duration>,
    #[serde(default, deserialize_with = "some_pulse_ms")]
    window_ms: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TriggerMode {
    #[default]
    Frame,
    Continuous,
    Hardware,
    Gpio,
    Interval,
    Software,
}

const DEFAULT_WIDTH: Duration = Duration::from_millis(20);

impl TryFrom<RawLine> for LineSettings {
    type Error = String;

    fn try_from(raw: RawLine) -> Result<LineSettings, String> {
        let pulse = |output: Output| -> Result<PulseConfig, String> {
            let config = raw.outputs.get(output);
            let width = config.and_then(|config| config.width_ms).unwrap_or(DEFAULT_WIDTH);
            let rest = config.and_then(|config| config.min_gap_ms).unwrap_or_default();
            Ok(PulseConfig { width, rest })
        };
        for output in Output::ALL {
            let Some(config) = raw.outputs.get(output) else { continue };
            config.line().check(&format!("outputs.{}", output.word()))?;
            let pulses = matches!(output, Output::Reject | Output::Good | Output::Strobe);
            if !pulses && (config.width_ms.is_some() || config.min_gap_ms.is_some()) {
                return Err(format!("outputs.{} gives levels, not pulses: it takes no width_ms and min_gap_ms", output.word()));
            }
        }
        let pulses = [pulse(Output::Reject)?, pulse(Output::Good)?, pulse(Output::Strobe)?];
        let [reject, good, _] = pulses;
        let longest = reject.width.max(good.width);
        let delay = match (raw.delay_ms, raw.delay_pulses) {
            (Some(delay), None) => Travel::Time(delay),
            (None, Some(delay)) => Travel::Pulses(delay),
            _ => return Err("the way from trigger to actuator is delay_ms or delay_pulses: exactly one of them".into()),
        };
        let default = longest.max(reject.width + reject.rest).max(good.width + good.rest);
        let spacing = match (delay, raw.spacing_ms, raw.spacing_pulses, &raw.encoder) {
            (Travel::Time(delay), spacing, None, _) => {
                let spacing = spacing.unwrap_or(default);
                if spacing < longest {
                    return Err(format!("spacing_ms is less than the longest pulse, {longest:?}: it would hit the next part"));
                }
                if delay < spacing {
                    return Err(format!(
                        "delay_ms must be at least spacing_ms ({spacing:?}): a part would be at the actuator \
                         before its neighbour is seen"
                    ));
                }
                Travel::Time(spacing)
            }
            (Travel::Pulses(delay), None, Some(spacing), Some(encoder)) => {
                let least = Duration::from_secs_f64(f64::from(spacing) / encoder.max_rate);
                if least < longest {
                    return Err(format!(
                        "spacing_pulses lasts {least:?} at encoder.max_rate, less than the longest pulse, \
                         {longest:?}: it would hit the next part"
                    ));
                }
                if delay < spacing {
                    return Err("delay_pulses must be at least spacing_pulses: a part would be at the actuator before its \
                         neighbour is seen"
                        .into());
                }
                Travel::Pulses(spacing)
            }
            (Travel::Time(_), ..) => return Err("delay_ms goes with spacing_ms, not with spacing_pulses".into()),
            (Travel::Pulses(_), _, _, None) => return Err("delay_pulses needs [line.encoder]".into()),
            (Travel::Pulses(_), ..) => return Err("delay_pulses needs spacing_pulses, and takes no spacing_ms".into()),
        };
        if let (Travel::Time(delay), Some(deadline)) = (delay, raw.deadline_ms)
            && deadline > delay
        {
            return Err("deadline_ms is later than delay_ms: the part would be past the actuator".into());
        }
        let trigger = TriggerConfig::try_from(raw.trigger)?;
        if !trigger.is_a_frame()
            && let Travel::Time(spacing) = spacing
            && spacing < 2 * trigger.window
        {
            return Err(format!(
                "spacing_ms must be at least twice trigger.window_ms ({:?}): a frame could belong to two parts",
                trigger.window
            ));
        }
        if let Some(encoder) = &raw.encoder {
            encoder.a.check("encoder.a")?;
            encoder.b.as_ref().map_or(Ok(()), |b| b.check("encoder.b"))?;
        }
        raw.reset.as_ref().map_or(Ok(()), |reset| reset.check("reset"))?;
        let row = |limit: u32| (limit > 0).then_some(limit);
        let control = LineControlConfig {
            delay,
            deadline: raw.deadline_ms,
            spacing,
            on_unknown: raw.on_unknown,
            stop_after_unknowns: row(raw.stop_after_unknowns),
            stop_after_rejects: row(raw.stop_after_rejects),
            parts: raw.parts,
            tolerance: raw.tolerance_ms,
            pulses,
            views: 1,
            recipes: Vec::new(),
        };
        Ok(LineSettings {
            control,
            trigger,
            recipe: raw.recipe.map(ChosenBy::try_from).transpose()?,
            encoder: raw.encoder,
            outputs: raw.outputs,
            reset: raw.reset,
            heartbeat: raw.heartbeat_ms,
            stall: raw.stall_ms,
            simulated: raw.simulated,
            record: raw.record,
            priority: raw.priority,
            cpu: raw.cpu,
        })
    }
}

impl TryFrom<RawTrigger> for TriggerConfig {
    type Error = String;

    fn try_from(raw: RawTrigger) -> Result<TriggerConfig, String> {
        use TriggerMode::{Continuous, Frame, Gpio, Hardware, Interval, Software};
        let mode = raw.mode;
        let only = |set: bool, key: &str, modes: &[TriggerMode]| match set && !modes.contains(&mode) {
            true => Err(format!("trigger.{key} says nothing in this mode: remove it, or choose another mode")),
            false => Ok(()),
        };
        only(raw.input.is_some(), "input", &[Hardware, Gpio])?;
        only(raw.debounce_ms.is_some(), "debounce_ms", &[Hardware, Gpio])?;
        only(raw.every_ms.is_some(), "every_ms", &[Interval])?;
        only(raw.socket.is_some(), "socket", &[Software])?;
        only(raw.presence.is_some(), "presence", &[Continuous])?;
        only(raw.sensor_waits.is_some(), "sensor_waits", &[Interval, Software])?;
        only(raw.exposure_ms.is_some(), "exposure_ms", &[Hardware, Gpio, Interval, Software])?;
        let by = match mode {
            Frame => TriggerBy::Frame,
            Continuous => {
                let missing = "trigger.presence is missing: what tells a part from the empty belt";
                TriggerBy::Presence(raw.presence.ok_or(missing)?)
            }
            Hardware | Gpio => {
                let input = raw.input.ok_or("trigger.input is missing: the line with the trigger")?;
                input.check("trigger.input")?;
                TriggerBy::Edge { input, debounce: raw.debounce_ms.unwrap_or(Duration::from_millis(5)) }
            }
            Interval => TriggerBy::Interval(raw.every_ms.ok_or("trigger.every_ms is missing")?),
            Software => TriggerBy::Socket(raw.socket.ok_or("trigger.socket is missing: the path of a socket")?),
        };
        let sensor_waits = mode == Hardware || raw.sensor_waits.unwrap_or(false);
        let exposure = raw.exposure_ms.unwrap_or_default();
        let window = raw.window_ms.unwrap_or(Duration::from_millis(10));
        Ok(TriggerConfig { by, sensor_waits, exposure, window })
    }
}

impl LineConfig {
    pub(super) fn check(&self, key: &str) -> Result<(), String> {
        match (&self.line, &self.chip, self.offset) {
            (Some(_), _, None) | (None, Some(_), Some(_)) => Ok(()),
            _ => Err(format!("{key} needs line = \"NAME\", or chip = \"LABEL\" and offset = N for a line without a name")),
        }
    }
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

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D, least: f64) -> Result<Duration, D::Error> {
    let ms = f64::deserialize(deserializer)?;
    if !(least..=TIME_LIMIT_MS).contains(&ms) {
        return Err(de::Error::custom(format_args!("{ms} is out of bounds; expected {least} to {TIME_LIMIT_MS} ms")));
    }
    Ok(Duration::from_secs_f64(ms / 1e3))
}

fn pulse_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    milliseconds(deserializer, 0.1)
}

pub(super) fn some_pulse_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    milliseconds(deserializer, 0.1).map(Some)
}

pub(in crate::config) fn some_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    milliseconds(deserializer, 0.0).map(Some)
}

pub(in crate::config) fn some_pulses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let expected = format_args!("1 to {PULSES_LIMIT} pulses");
    bounded(deserializer, |pulses| (1..=PULSES_LIMIT).contains(pulses), expected).map(Some)
}

fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    bounded(deserializer, |parts| (1..=PARTS_LIMIT).contains(parts), format_args!("1 to {PARTS_LIMIT} parts"))
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    bounded(deserializer, |priority| *priority <= 99, format_args!("0 (leave it) to 99"))
}

pub(super) fn pulse_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let expected = format_args!("more than 0 and at most {PULSE_RATE_LIMIT} pulses per second");
    bounded(deserializer, |rate| (1e-3..=PULSE_RATE_LIMIT).contains(rate), expected)
}
