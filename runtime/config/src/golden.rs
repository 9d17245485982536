//! `[golden]`: how far a station may be from its golden part.

use serde::{Deserialize, Deserializer};

use crate::bounds::bounded;

/// How far a station may be from its golden part.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoldenLimits {
    /// Of the position, in percent of the region's longer side.
    #[serde(deserialize_with = "limit")]
    pub shift_percent: f64,
    /// Of the rotation.
    #[serde(deserialize_with = "limit")]
    pub rotation_degrees: f64,
    /// Of the size.
    #[serde(deserialize_with = "limit")]
    pub scale_percent: f64,
    /// Of each channel's mean.
    #[serde(deserialize_with = "limit")]
    pub brightness_percent: f64,
    /// Of the sharpness.
    #[serde(deserialize_with = "limit")]
    pub sharpness_percent: f64,
}

impl Default for GoldenLimits {
    fn default() -> GoldenLimits {
        GoldenLimits {
            shift_percent: 1.0,
            rotation_degrees: 1.0,
            scale_percent: 1.0,
            brightness_percent: 5.0,
            sharpness_percent: 20.0,
        }
    }
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    bounded(deserializer, |limit| (0.01..=100.0).contains(limit), format_args!("0.01 to 100"))
}
