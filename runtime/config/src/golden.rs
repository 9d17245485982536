//! `[golden]`: how far a camera may deviate from its golden part.

use serde::{Deserialize, Deserializer};

use crate::bounds::bounded;

/// Largest deviations of a camera from its golden part.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoldenLimits {
    /// Of the position, in percent of the longer side of the region.
    #[serde(deserialize_with = "limit")]
    pub shift_percent: f64,
    /// Of the rotation, in degrees.
    #[serde(deserialize_with = "limit")]
    pub rotation_degrees: f64,
    /// Of the size, in percent.
    #[serde(deserialize_with = "limit")]
    pub scale_percent: f64,
    /// Of the mean of each channel, in percent.
    #[serde(deserialize_with = "limit")]
    pub brightness_percent: f64,
    /// Of the sharpness, in percent.
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
