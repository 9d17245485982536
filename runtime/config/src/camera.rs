//! `[source.camera]`: every key is documented in `configs/line/camera.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use detector::picture::SIDE_LIMIT;
use detector::preprocess::Rect;
use serde::Deserialize;
use serde::de::Deserializer;

use crate::bounds::bounded;
use crate::pixel::{FormatName, Matrix, Range};
use crate::region::some_sensor_region;

/// A V4L2 camera.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// The device node; a path below `/dev/v4l` stays the same after a restart.
    pub device: PathBuf,
    /// Pixel format.
    pub format: FormatName,
    /// Width, in pixels.
    #[serde(deserialize_with = "side")]
    pub width: u32,
    /// Height, in pixels.
    #[serde(deserialize_with = "side")]
    pub height: u32,
    /// Frames per second; the camera chooses if left out.
    #[serde(default, deserialize_with = "frame_rate")]
    pub frame_rate: Option<f64>,
    /// The region of the sensor that is read out, in the pixels of the sensor.
    #[serde(default, deserialize_with = "some_sensor_region")]
    pub region: Option<Rect>,
    /// How luma and chroma are made; the driver's value if left out.
    pub matrix: Option<Matrix>,
    /// Which values black and white have; the driver's value if left out.
    pub range: Option<Range>,
    /// Number of buffers that are shared with the driver.
    #[serde(default = "default_buffers", deserialize_with = "buffers")]
    pub buffers: u32,
    /// Whether the sensor waits for a trigger: a camera without frames is then no fault.
    #[serde(default)]
    pub triggered: bool,
    /// Time from the start of the exposure to the time stamp, for drivers that stamp the end of a frame.
    #[serde(default, deserialize_with = "stamp_delay_ms")]
    pub stamp_delay_ms: f64,
    /// Frames after a change of the controls that may still be taken on the old controls.
    #[serde(default = "default_settle_frames", deserialize_with = "settle_frames")]
    pub settle_frames: u32,
    /// Exposure, gain and other controls, by the camera's names.
    #[serde(default)]
    pub controls: Controls,
    /// The scene in front of the camera, for `check`.
    pub scene: Option<Scene>,
}

/// Settings of a camera's controls, by the camera's names of the controls.
pub type Controls = BTreeMap<String, Setting>;

/// The value that a configuration sets a control to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected true, false, a whole number, or the name of a menu entry")]
pub enum Setting {
    /// Yes or no.
    Boolean(bool),
    /// A number, or the number of a menu entry.
    Integer(i32),
    /// The name of a menu entry.
    Entry(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Boolean(value) => write!(f, "{value}"),
            Setting::Integer(value) => write!(f, "{value}"),
            Setting::Entry(value) => write!(f, "{value:?}"),
        }
    }
}

/// The scene in front of a camera. `check` computes resolution, motion blur and rate from it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// Width of the scene that the picture shows.
    #[serde(deserialize_with = "positive")]
    pub width_mm: f64,
    /// Speed of the parts.
    #[serde(deserialize_with = "positive")]
    pub belt_speed_mm_s: f64,
    /// Exposure time; the duration of the strobe where it is the only light.
    #[serde(deserialize_with = "positive")]
    pub exposure_ms: f64,
    /// Most parts per second.
    #[serde(deserialize_with = "positive")]
    pub parts_per_second: f64,
    /// A defect of this size must be visible.
    #[serde(default, deserialize_with = "some_positive")]
    pub smallest_defect_mm: Option<f64>,
}

fn default_buffers() -> u32 {
    4
}

fn default_settle_frames() -> u32 {
    3
}

type Parsed<T, E> = std::result::Result<T, E>;

fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<u32, D::Error> {
    bounded(deserializer, |side| (1..=SIDE_LIMIT).contains(side), format_args!("1 to {SIDE_LIMIT} px"))
}

fn frame_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<Option<f64>, D::Error> {
    let expected = format_args!("0.01 to 10000 frames per second");
    bounded(deserializer, |rate| (0.01..=1e4).contains(rate), expected).map(Some)
}

fn buffers<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<u32, D::Error> {
    bounded(deserializer, |buffers| (2..=32).contains(buffers), format_args!("2 to 32 buffers"))
}

fn settle_frames<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<u32, D::Error> {
    bounded(deserializer, |frames| (0..=1000).contains(frames), format_args!("0 to 1000 frames"))
}

fn stamp_delay_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<f64, D::Error> {
    bounded(deserializer, |delay| (0.0..=10_000.0).contains(delay), format_args!("0 to 10000 ms"))
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<f64, D::Error> {
    bounded(deserializer, |value| (1e-6..=1e6).contains(value), format_args!("more than 0"))
}

fn some_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Parsed<Option<f64>, D::Error> {
    positive(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "device = \"/dev/video0\"\nformat = \"yuyv\"\nwidth = 640\nheight = 480\n";

    #[test]
    fn the_least_configuration() {
        let config: CameraConfig = toml::from_str(LEAST).unwrap();
        assert_eq!((config.buffers, config.triggered, config.frame_rate, config.region), (4, false, None, None));
        assert_eq!(config.format.code().to_string(), "YUYV");
    }

    #[test]
    fn settings_keep_their_kinds() {
        let text =
            format!("{LEAST}region = [0, 8, 320, 240]\n[controls]\ngain = 3\nauto = false\nexposure_auto = \"Manual Mode\"\n");
        let config: CameraConfig = toml::from_str(&text).unwrap();
        let expected = [Setting::Boolean(false), Setting::Entry("Manual Mode".into()), Setting::Integer(3)];
        assert!(config.controls.values().eq(&expected), "{:?}", config.controls);
        assert_eq!(config.region, Some(Rect { x: 0, y: 8, width: 320, height: 240 }));
    }

    #[test]
    fn nonsense_is_refused() {
        for (wrong, word) in [
            ("frame_rate = 0.0", "frames per second"),
            ("frame_rate = nan", "frames per second"),
            ("region = [0, 0, 0, 5]", "sensor's pixels"),
            ("region = [0, 0, 5]", "4"),
            ("buffers = 1", "2 to 32"),
            ("matrix = \"bt2020\"", "bt709"),
            ("exposure = 5", "exposure"),
            ("[controls]\ngain = 1.5", "whole number"),
            ("[scene]\nwidth_mm = -1.0", "more than 0"),
        ] {
            let error = toml::from_str::<CameraConfig>(&format!("{LEAST}{wrong}\n")).unwrap_err().to_string();
            assert!(error.contains(word), "{wrong}: {error}");
        }
        let error = toml::from_str::<CameraConfig>(&LEAST.replace("yuyv", "H264")).unwrap_err().to_string();
        assert!(error.contains("H264") && error.contains("NV12"), "{error}");
        assert!(toml::from_str::<CameraConfig>(&LEAST.replace("640", "0")).is_err());
    }
}
