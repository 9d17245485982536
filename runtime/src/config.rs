//! The line configuration: what `apc-runtime run` reads.
//!
//! Every key is documented in `configs/line/`. Sections and keys that are unknown are errors; so are values out of bounds,
//! while parsing, so that the message names their line.

pub mod camera;
pub mod line;
pub mod recipes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use detector::engine::{EngineKind, Machine, VariantChoice};
use detector::scorer::SECOND_LOOK;
use detector::{Error, Result, Setup, files};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::commissioning::golden;

/// Most threads that may be asked for.
pub const THREADS_LIMIT: usize = 256;
/// Largest share of the threshold within which a score may count as near it.
pub const SHARE_LIMIT: f32 = 0.5;
/// Longest queue of frames: each may hold a whole picture.
const QUEUE_LIMIT: usize = 1024;
/// Frames per second.
const RATE_LIMIT: f64 = 10_000.0;
/// An hour.
const AGE_LIMIT_MS: u64 = 3_600_000;

/// Content of a line configuration; paths are relative to its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// What judges.
    pub detector: DetectorConfig,
    /// Where frames come from.
    pub source: SourceConfig,
    /// More cameras that look at the same parts.
    #[serde(default)]
    pub views: BTreeMap<String, recipes::ViewConfig>,
    /// The products that are made here, one at a time.
    #[serde(default)]
    pub recipes: BTreeMap<String, recipes::RecipeConfig>,
    /// What happens to frames that wait.
    #[serde(default)]
    pub frames: FramesConfig,
    /// The production line around the camera.
    #[serde(default)]
    pub line: Option<line::LineSettings>,
    /// How far the station may be from its golden part.
    #[serde(default)]
    pub golden: golden::Limits,
    /// Where verdicts go.
    #[serde(default)]
    pub output: OutputConfig,
    /// What is told on standard error.
    #[serde(default)]
    pub log: LogConfig,
    /// Libraries and folders of this machine.
    #[serde(default)]
    pub runtime: RuntimeConfig,
}

/// What judges.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// The bundle, `NAME.apc`, or [`ACTIVE`].
    pub bundle: PathBuf,
    /// Engines, the most wanted first; the first that starts and passes the bundle's self-test is used.
    #[serde(default = "default_engines", deserialize_with = "engines")]
    pub engines: Vec<EngineKind>,
    /// Which of the bundle's networks.
    #[serde(default)]
    pub variant: VariantChoice,
    /// Where the int8 network's score is within this share of the threshold, the float network decides; 0 nowhere.
    #[serde(default = "second_look", deserialize_with = "share")]
    pub second_look: f32,
    /// Threads of backbone and search; 0 is one for each processor.
    #[serde(default, deserialize_with = "threads")]
    pub threads: usize,
}

/// Libraries and folders of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// ONNX Runtime's shared library, for the engines `ort-cpu`, `cuda` and `tensorrt`; empty takes `ORT_DYLIB_PATH`.
    pub onnxruntime: PathBuf,
    /// The state folder, see [`crate::state`]; empty keeps nothing.
    pub state: PathBuf,
}

impl RuntimeConfig {
    fn machine(&self) -> Machine {
        let named = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        Machine { onnxruntime: named(&self.onnxruntime), state: named(&self.state) }
    }
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceConfig {
    /// Image files, one after the other.
    Replay(ReplayConfig),
    /// A V4L2 camera.
    Camera(camera::CameraConfig),
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
    /// Starts again after the last image, for ever.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
    /// Images after a switch of the recipe that count as taken on the old settings.
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
    /// Whether a frame stands for a part.
    pub bind: Binding,
    /// Frames bound to a part that may wait; the next part is `unknown`.
    #[serde(deserialize_with = "queue")]
    pub queue: usize,
    /// A frame that has waited longer is not judged but `unknown`.
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

/// Whether a frame stands for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Each frame is one part: it waits in line and gets exactly one verdict.
    Part,
    /// Frames run freely: only the newest waits, older ones are replaced.
    Free,
}

/// Where verdicts go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// File that verdicts are appended to, one JSON object a line; `-` is standard output.
    pub verdicts: PathBuf,
}

impl Default for OutputConfig {
    fn default() -> Self {
        OutputConfig { verdicts: STANDARD_OUTPUT.into() }
    }
}

/// The bundle that stands for the active model of the state folder.
pub const ACTIVE: &str = "active";

/// The path that stands for standard output.
pub const STANDARD_OUTPUT: &str = "-";

/// What is told on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// From which level on.
    pub level: LogLevel,
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What ends the service.
    Error,
    /// Parts without a verdict too.
    Warn,
    /// Start, stop and anomalous parts too.
    #[default]
    Info,
    /// Good parts too.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// For the `log` crate.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Off => log::LevelFilter::Off,
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        }
    }
}

impl LineConfig {
    /// Reads a configuration; its paths then lead from here, not from the file.
    ///
    /// # Errors
    /// Names file, line and key of what is missing, unknown, of a wrong type or out of bounds.
    pub fn read(path: &Path) -> Result<LineConfig> {
        let mut config: LineConfig = files::read_toml(path)?;
        config.check(path)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses a configuration as it is; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`LineConfig::read`].
    pub fn parse(path: &Path, text: &str) -> Result<LineConfig> {
        let mut config: LineConfig = files::parse_toml(path, text)?;
        config.check(path)?;
        Ok(config)
    }

    /// What the sections say together.
    fn check(&mut self, path: &Path) -> Result<()> {
        if self.line.is_some() && self.frames.bind == Binding::Free {
            return Err(Error::file(
                path,
                "[line] follows parts, but frames.bind = \"free\" binds no frame to a part; use \"part\"",
            ));
        }
        let is_active = |bundle: &PathBuf| bundle.as_os_str() == ACTIVE;
        if self.runtime.state.as_os_str().is_empty()
            && (is_active(&self.detector.bundle) || self.recipe_paths().any(|bundle| is_active(bundle)))
        {
            let problem = "bundle = \"active\" is a model of the state folder: name that folder in runtime.state";
            return Err(Error::file(path, problem));
        }
        self.join_recipes().map_err(|problem| Error::file(path, problem))
    }

    /// What may run the bundle, and where.
    pub fn setup(&self) -> Setup {
        let DetectorConfig { engines, variant, second_look, .. } = &self.detector;
        Setup { engines: engines.clone(), variant: *variant, second_look: *second_look, machine: self.runtime.machine() }
    }

    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        for path in [&mut self.runtime.onnxruntime, &mut self.runtime.state] {
            if !path.as_os_str().is_empty() {
                resolve(path);
            }
        }
        let named = |bundle: &&mut PathBuf| bundle.as_os_str() != ACTIVE;
        [&mut self.detector.bundle].into_iter().filter(named).for_each(resolve);
        self.recipe_paths().filter(named).for_each(resolve);
        let views = self.views.values_mut().map(|view| &mut view.source);
        views.chain([&mut self.source]).for_each(|source| recipes::resolve_source(source, folder));
        if let Some(line) = &mut self.line {
            if let line::TriggerBy::Socket(path) = &mut line.trigger.by {
                resolve(path);
            }
            if let Some(line::ChosenBy::Socket { path, .. }) = &mut line.recipe {
                resolve(path);
            }
            line.record.iter_mut().for_each(resolve);
        }
        if self.output.verdicts.as_os_str() != STANDARD_OUTPUT {
            resolve(&mut self.output.verdicts);
        }
    }
}

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Images, D::Error> {
        struct PathOrPaths;

        impl<'de> Visitor<'de> for PathOrPaths {
            type Value = Images;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a folder, a .txt list of images, or an array of image files")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> std::result::Result<Images, E> {
                Ok(Images::At(path.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Images, A::Error> {
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

fn default_engines() -> Vec<EngineKind> {
    Setup::default().engines
}

fn engines<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<EngineKind>, D::Error> {
    let engines = Vec::<EngineKind>::deserialize(deserializer)?;
    if engines.is_empty() {
        return Err(de::Error::custom("no engine is named; expected at least one, such as \"tract\""));
    }
    match engines.iter().enumerate().find(|(i, engine)| engines[..*i].contains(engine)) {
        Some((_, twice)) => Err(de::Error::custom(format_args!("engine {twice} is named twice"))),
        None => Ok(engines),
    }
}

fn default_rate() -> f64 {
    10.0
}

/// A value and a check of its bounds.
pub(crate) fn bounded<'de, D, T>(
    deserializer: D,
    sound: impl Fn(&T) -> bool,
    expected: fmt::Arguments<'_>,
) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + fmt::Display,
{
    let value = T::deserialize(deserializer)?;
    match sound(&value) {
        true => Ok(value),
        false => Err(de::Error::custom(format_args!("{value} is out of bounds; expected {expected}"))),
    }
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<usize, D::Error> {
    let expected = format_args!("0 (one for each processor) to {THREADS_LIMIT} threads");
    bounded(deserializer, |threads| *threads <= THREADS_LIMIT, expected)
}

fn second_look() -> f32 {
    SECOND_LOOK
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f32, D::Error> {
    bounded(deserializer, |share| (0.0..=SHARE_LIMIT).contains(share), format_args!("a share of 0 to {SHARE_LIMIT}"))
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    let expected = format_args!("more than 0 and at most {RATE_LIMIT} frames per second");
    // A period of more than a day is a mistake, and may not fit a duration.
    bounded(deserializer, |rate| (1e-5..=RATE_LIMIT).contains(rate), expected)
}

fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<usize, D::Error> {
    bounded(deserializer, |queue| (1..=QUEUE_LIMIT).contains(queue), format_args!("1 to {QUEUE_LIMIT} frames"))
}

fn max_age_ms<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    bounded(deserializer, |age| (1..=AGE_LIMIT_MS).contains(age), format_args!("1 to {AGE_LIMIT_MS} ms"))
}

#[cfg(test)]
mod tests;
