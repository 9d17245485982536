//! `[line.trigger.presence]`: what tells a part from the empty belt.

use serde::{Deserialize, Deserializer, de};

use crate::config::bounded;
use crate::config::recipes::{Region, region};

/// A light barrier in the picture: a part is there while enough of a region does not look like the belt.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceConfig {
    /// Where it is looked for; the whole picture if left out.
    #[serde(default, deserialize_with = "region")]
    pub region: Option<Region>,
    /// Darkest and brightest value of the empty belt, 0 to 255.
    #[serde(deserialize_with = "belt")]
    pub belt: [u8; 2],
    /// Share of the region that a part covers from the frame on in which it is judged. It is gone below half of this.
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
        return Err(de::Error::custom(format_args!("{belt:?} is out of order; expected [darkest, brightest], each 0 to 255")));
    }
    Ok(belt)
}
