//! Bounds of single values. They are checked while the file is parsed, so that an error names the line of the file.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Most threads.
pub const THREADS_LIMIT: usize = 256;
/// Largest share of the threshold within which a score may count as near the threshold.
pub const SHARE_LIMIT: f32 = 0.5;
/// Longest time that can be set: an hour.
const TIME_LIMIT_MS: f64 = 3_600_000.0;
/// Longest way on the belt, in encoder pulses.
const PULSES_LIMIT: u32 = 100_000_000;

/// Parses a value that must be within its bounds; `expected` completes the message for a value that is not.
pub(crate) fn bounded<'de, D, T>(
    deserializer: D,
    is_in_bounds: impl Fn(&T) -> bool,
    expected: fmt::Arguments<'_>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + fmt::Display,
{
    let value = T::deserialize(deserializer)?;
    match is_in_bounds(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(format_args!("{value} is out of bounds; expected {expected}"))),
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D, least: f64) -> Result<Duration, D::Error> {
    let expected = format_args!("{least} to {TIME_LIMIT_MS} ms");
    let ms = bounded(deserializer, |ms| (least..=TIME_LIMIT_MS).contains(ms), expected)?;
    Ok(Duration::from_secs_f64(ms / 1e3))
}

/// At least 0.1 ms, for a pulse or a period.
pub(crate) fn pulse_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    milliseconds(deserializer, 0.1)
}

/// As [`pulse_ms`], for a key that may be left out.
pub(crate) fn some_pulse_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    pulse_ms(deserializer).map(Some)
}

/// Milliseconds, for a key that may be left out.
pub(crate) fn some_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    milliseconds(deserializer, 0.0).map(Some)
}

/// Pulses of the encoder, for a key that may be left out.
pub(crate) fn some_pulses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let expected = format_args!("1 to {PULSES_LIMIT} pulses");
    bounded(deserializer, |pulses| (1..=PULSES_LIMIT).contains(pulses), expected).map(Some)
}

/// A threshold, for a key that may be left out.
pub(crate) fn some_threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    bounded(deserializer, |threshold: &f32| *threshold > 0.0 && threshold.is_finite(), format_args!("a score above 0")).map(Some)
}
