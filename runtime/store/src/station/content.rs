//! What a station holds, and how its entries are named.

use std::collections::BTreeMap;

use config::{Config, MAIN, SourceConfig};
use detector::bundle::Bundle;
use serde::{Deserialize, Serialize};

use crate::models::Model;
use crate::site::SiteThreshold;

/// Name of the manifest, the first entry.
pub const MANIFEST: &str = "station.toml";
/// Format that this version writes.
pub(super) const FORMAT: u32 = 1;
pub(super) const LINE: &str = "line.toml";
pub(super) const POINTER: &str = "models/active.toml";
pub(super) const BY_PORT: &str = "/dev/v4l/by-path/";

/// A device of a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The role of the seat that it serves.
    pub role: String,
    /// Where it is plugged in.
    pub port: String,
}

/// Content of `station.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) kit: String,
    pub(super) at: u64,
    pub(super) by: String,
    pub(super) devices: Vec<Device>,
    pub(super) files: BTreeMap<String, String>,
}

/// Just the version, whatever else a newer manifest holds.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) format: u32,
}

/// A verified station in memory.
#[derive(Clone, Debug)]
pub struct Station {
    /// SHA-256 of the whole file.
    pub id: String,
    /// When it was exported; seconds since 1970, UTC.
    pub at: u64,
    /// Who exported it.
    pub by: String,
    /// What must be plugged in where.
    pub devices: Vec<Device>,
    /// Its line configuration, with paths as they stand there.
    pub line: Config,
    /// Its models, the active one last.
    pub models: Vec<(Model, Bundle)>,
    pub(super) thresholds: Vec<(String, SiteThreshold)>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// The devices that a configuration binds.
pub(super) fn devices(line: &Config) -> Vec<Device> {
    let port = match &line.views[0].source {
        SourceConfig::Camera(camera) => camera.device.display().to_string(),
        SourceConfig::Replay(_) => "replay".into(),
    };
    vec![Device { role: MAIN.into(), port }]
}

/// The entry of a model's record, by the bundle's file name.
pub(super) fn record_of(bundle: &str) -> String {
    format!("models/{}.toml", bundle.trim_end_matches(".apc"))
}
