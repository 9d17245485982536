//! Why a station cannot be exported or imported.

use std::path::PathBuf;

use config::{ACTIVE, ConfigError};

use super::content::BY_PORT;
use crate::models::ModelError;
use crate::site::SiteError;

/// Why a station cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// A file.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// The line configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Thresholds.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// More than one camera or product.
    #[error(
        "{0}: a station carries one camera and one product; with [views] or [recipes], copy the configuration and the state folder instead"
    )]
    Several(PathBuf),
    /// The bundle is not managed.
    #[error(
        "{0}: detector.bundle is not \"{ACTIVE}\": `apc-runtime model install` and `model activate` it, then write that word"
    )]
    NotActive(PathBuf),
    /// The device would be another one on the spare.
    #[error(
        "{path}: source.camera.device is {device}; a spare camera takes the place of this one by its port: name it by {BY_PORT}..., see \
         `apc-runtime camera list`"
    )]
    Port {
        /// The configuration.
        path: PathBuf,
        /// Its device.
        device: PathBuf,
    },
    /// Something else is there already.
    #[error("{0} is there already and differs: import into an empty state folder, or move it away")]
    Occupied(PathBuf),
    /// The configuration leads to another state folder.
    #[error(
        "the station's runtime.state leads to {named}, not to {given}: import its configuration to where it belongs, or change --state"
    )]
    State {
        /// Where it leads.
        named: PathBuf,
        /// What was given.
        given: PathBuf,
    },
}
