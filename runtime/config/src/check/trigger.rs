//! Checks the trigger.

use std::time::Duration;

use super::gpio;
use crate::error::Problem;
use crate::line::{TriggerBy, TriggerConfig};
use crate::raw::{RawTrigger, TriggerMode};

const DEFAULT_DEBOUNCE: Duration = Duration::from_millis(5);
const DEFAULT_WINDOW: Duration = Duration::from_millis(10);

/// What makes a part.
pub(super) fn trigger(raw: RawTrigger) -> Result<TriggerConfig, Problem> {
    use TriggerMode::{Continuous, Frame, Gpio, Hardware, Interval, Software};
    let mode = raw.mode;
    let only = |is_set: bool, key: &str, modes: &[TriggerMode]| match is_set && !modes.contains(&mode) {
        true => Err(Problem::new(
            format!("line.trigger.{key}"),
            "has no meaning in this line.trigger.mode: remove it, or choose another mode",
        )),
        false => Ok(()),
    };
    only(raw.input.is_some(), "input", &[Hardware, Gpio])?;
    only(raw.debounce_ms.is_some(), "debounce_ms", &[Hardware, Gpio])?;
    only(raw.every_ms.is_some(), "every_ms", &[Interval])?;
    only(raw.socket.is_some(), "socket", &[Software])?;
    only(raw.presence.is_some(), "presence", &[Continuous])?;
    only(raw.sensor_waits.is_some(), "sensor_waits", &[Interval, Software])?;
    only(raw.exposure_ms.is_some(), "exposure_ms", &[Hardware, Gpio, Interval, Software])?;
    let missing = |key: &'static str, what: &'static str| move || Problem::new(key, format!("is missing: {what}"));
    let by = match mode {
        Frame => TriggerBy::Frame,
        Continuous => {
            let missing = missing("line.trigger.presence", "the section that tells a part from the empty belt");
            TriggerBy::Presence(raw.presence.ok_or_else(missing)?)
        }
        Hardware | Gpio => {
            let key = "line.trigger.input";
            let input = raw.input.ok_or_else(missing(key, "the GPIO line of the trigger"))?;
            TriggerBy::Edge { input: gpio::line(input, key)?, debounce: raw.debounce_ms.unwrap_or(DEFAULT_DEBOUNCE) }
        }
        Interval => {
            let missing = missing("line.trigger.every_ms", "the time from one part to the next");
            TriggerBy::Interval(raw.every_ms.ok_or_else(missing)?)
        }
        Software => TriggerBy::Socket(raw.socket.ok_or_else(missing("line.trigger.socket", "the path of a socket"))?),
    };
    Ok(TriggerConfig {
        by,
        sensor_waits: mode == Hardware || raw.sensor_waits.unwrap_or(false),
        exposure: raw.exposure_ms.unwrap_or_default(),
        window: raw.window_ms.unwrap_or(DEFAULT_WINDOW),
    })
}
