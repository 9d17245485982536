//! `[source]` and `[frames]`: where frames come from, and what happens to waiting frames.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::bounds::bounded;
use crate::camera::CameraConfig;

/// Longest queue of frames: each may hold a whole picture.
const QUEUE_LIMIT: usize = 1024;
/// Most frames per second.
const RATE_LIMIT: f64 = 10_000.0;
/// Longest age of a frame: an hour.
const AGE_LIMIT_MS: u64 = 3_600_000;

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceConfig {
    /// Image files, one after the other.
    Replay(ReplayConfig),
    /// A V4L2 camera.
    Camera(CameraConfig),
}

impl SourceConfig {
    /// Resolves the paths of image files against `folder`; the path of a device stays as it is.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        match self {
            SourceConfig::Replay(ReplayConfig { images: Images::At(path), .. }) => resolve(path),
            SourceConfig::Replay(ReplayConfig { images: Images::Listed(paths), .. }) => paths.iter_mut().for_each(resolve),
            SourceConfig::Camera(_) => {}
        }
    }
}

/// Image files, one after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// Which images.
    pub images: Images,
    /// Frames per second. A replay that cannot keep up falls behind; it never bursts.
    #[serde(default = "default_rate", deserialize_with = "rate")]
    pub rate: f64,
    /// Whether the replay starts again after the last image.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
    /// Images after a change of the product whose settings are in doubt, as at a camera.
    #[serde(default)]
    pub settle_frames: u32,
}

/// Images of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// A folder (its images, sorted by name) or a `.txt` file (one path per line, relative to the file; `#` starts a comment).
    At(PathBuf),
    /// These files.
    Listed(Vec<PathBuf>),
}

/// What happens to frames that wait for the detector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FramesConfig {
    /// Whether each frame is a part.
    pub bind: Binding,
    /// Most frames bound to a part that wait for the detector; a part beyond is `unknown`.
    #[serde(deserialize_with = "queue")]
    pub queue: usize,
    /// A frame that has waited longer is `unknown`.
    #[serde(deserialize_with = "max_age_ms")]
    pub max_age_ms: u64,
}

impl FramesConfig {
    /// [`FramesConfig::max_age_ms`] as a duration.
    pub fn max_age(&self) -> Duration {
        Duration::from_millis(self.max_age_ms)
    }
}

impl Default for FramesConfig {
    fn default() -> Self {
        FramesConfig { bind: Binding::Part, queue: 8, max_age_ms: 1000 }
    }
}

/// Whether each frame is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Each frame is a part: frames wait in a queue, and each gets exactly one verdict.
    Part,
    /// Frames run freely: only the newest frame waits, and it replaces the one before.
    Free,
}

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Images, D::Error> {
        struct PathOrPaths;

        impl<'de> Visitor<'de> for PathOrPaths {
            type Value = Images;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a folder, a .txt list of images, or an array of image files")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Images, E> {
                Ok(Images::At(path.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Images, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = seq.next_element::<PathBuf>()? {
                    paths.push(path);
                }
                Ok(Images::Listed(paths))
            }
        }

        deserializer.deserialize_any(PathOrPaths)
    }
}

fn default_rate() -> f64 {
    10.0
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let expected = format_args!("more than 0 and at most {RATE_LIMIT} frames per second");
    // A period of more than a day is a mistake, and might not fit into a duration.
    bounded(deserializer, |rate| (1e-5..=RATE_LIMIT).contains(rate), expected)
}

fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    bounded(deserializer, |queue| (1..=QUEUE_LIMIT).contains(queue), format_args!("1 to {QUEUE_LIMIT} frames"))
}

fn max_age_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    bounded(deserializer, |age| (1..=AGE_LIMIT_MS).contains(age), format_args!("1 to {AGE_LIMIT_MS} ms"))
}
