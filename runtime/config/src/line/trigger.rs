//! Checked settings of the trigger.

use std::path::PathBuf;
use std::time::Duration;

use detector::preprocess::Rect;
use serde::de::{Deserialize, Deserializer, Error};

use super::gpio::GpioLine;
use crate::bounds::bounded;
use crate::region::some_region;

/// What makes a part, and how its frame is found.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerConfig {
    /// What makes a part.
    pub by: TriggerBy,
    /// Whether the sensor waits for a trigger and gives one frame for each.
    pub sensor_waits: bool,
    /// Time from the trigger to the exposure of the frame.
    pub exposure: Duration,
    /// Largest difference between the time of a frame and the time of the exposure.
    pub window: Duration,
}

impl TriggerConfig {
    /// Whether a frame of the first camera makes the part that it shows.
    pub fn is_a_frame(&self) -> bool {
        matches!(self.by, TriggerBy::Frame | TriggerBy::Presence(_))
    }
}

/// What makes a part.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerBy {
    /// Each frame is a part.
    Frame,
    /// A part appears in the picture.
    Presence(PresenceConfig),
    /// An edge on a GPIO line.
    Edge {
        /// Which GPIO line.
        input: GpioLine,
        /// An edge within this time of the edge before it is a bounce.
        debounce: Duration,
    },
    /// The clock, with this period.
    Interval(Duration),
    /// A datagram to this socket.
    Socket(PathBuf),
}

/// A light barrier in the picture (`[line.trigger.presence]`): a part is there while enough of a region does not look like the belt.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceConfig {
    /// Where the part appears; the whole picture if left out.
    #[serde(default, deserialize_with = "some_region")]
    pub region: Option<Rect>,
    /// Darkest and brightest value of the empty belt, 0 to 255.
    #[serde(deserialize_with = "belt")]
    pub belt: [u8; 2],
    /// A part is there from the frame on in which it covers this share of the region, until it covers less than half of this share.
    #[serde(default = "default_coverage", deserialize_with = "coverage")]
    pub coverage: f64,
}

fn default_coverage() -> f64 {
    0.5
}

fn coverage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    bounded(deserializer, |share| (0.01..=1.0).contains(share), format_args!("a share of 0.01 to 1"))
}

fn belt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 2], D::Error> {
    let belt @ [darkest, brightest] = <[u8; 2]>::deserialize(deserializer)?;
    if darkest > brightest {
        return Err(D::Error::custom(format_args!("{belt:?} is out of order; expected [darkest, brightest], each 0 to 255")));
    }
    Ok(belt)
}
