//! `[detector]`: which bundle judges, and which engines may run it.

use std::path::PathBuf;

use detector::Setup;
use detector::engine::{EngineKind, VariantChoice};
use detector::scorer::SECOND_LOOK;
use serde::de::{Deserialize, Deserializer, Error};

use crate::bounds::{SHARE_LIMIT, THREADS_LIMIT, bounded};

/// Which bundle judges, and which engines may run it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// The bundle, `NAME.apc`, or [`crate::ACTIVE`]; a view or a product may name another one.
    pub bundle: PathBuf,
    /// Engines in order of preference. The first engine that starts and passes the bundle's self-test is used.
    #[serde(default = "default_engines", deserialize_with = "engines")]
    pub engines: Vec<EngineKind>,
    /// Which variant of the bundle's network.
    #[serde(default)]
    pub variant: VariantChoice,
    /// The float network scores a part again if the int8 network's score is within this share of the threshold; 0 turns the second look
    /// off.
    #[serde(default = "default_second_look", deserialize_with = "second_look")]
    pub second_look: f32,
    /// Threads of the backbone and of the search in the memory bank; 0 means one for each processor.
    #[serde(default, deserialize_with = "threads")]
    pub threads: usize,
}

fn default_engines() -> Vec<EngineKind> {
    Setup::default().engines
}

fn default_second_look() -> f32 {
    SECOND_LOOK
}

fn engines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EngineKind>, D::Error> {
    let engines = Vec::<EngineKind>::deserialize(deserializer)?;
    if engines.is_empty() {
        return Err(D::Error::custom("no engine is named; expected at least one, such as \"tract\""));
    }
    match engines.iter().enumerate().find(|(i, engine)| engines[..*i].contains(engine)) {
        Some((_, twice)) => Err(D::Error::custom(format_args!("engine {twice} is named twice"))),
        None => Ok(engines),
    }
}

fn second_look<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    bounded(deserializer, |share| (0.0..=SHARE_LIMIT).contains(share), format_args!("a share of 0 to {SHARE_LIMIT}"))
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let expected = format_args!("0 (one for each processor) to {THREADS_LIMIT} threads");
    bounded(deserializer, |threads| *threads <= THREADS_LIMIT, expected)
}
