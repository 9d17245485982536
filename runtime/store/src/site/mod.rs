//! Thresholds of this site: what good parts score on this camera, beside what they scored at export.
//!
//! A threshold is bound to the bundle, the engine and network that scored, and the camera's port and picture settings. Where a camera has
//! one and what runs now differs, nothing is judged: a threshold that was found on other scores says nothing.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use config::{Config, SeatId, SourceConfig, as_array};
use detector::archive;
use detector::bundle::Variant;
use detector::calibration::{Calibration, TailEstimate};
use detector::engine::EngineKind;
use detector::files::{self, Disk};
use detector::{Detector, Error};
use serde::{Deserialize, Serialize};

use crate::folder::{SITE as FOLDER, files_in, now};
use crate::models::short;
use crate::state::State;

/// Format that this version writes.
const FORMAT: u32 = 1;
const AUDIT: &str = "audit.jsonl";
/// Most thresholds of a camera.
const LIMIT: usize = 64;
/// Largest file of one.
pub(crate) const SIZE_LIMIT: u64 = 64 << 10;
/// Largest audit log: some thousand entries. Beyond it the oldest go.
const AUDIT_LIMIT: u64 = 4 << 20;

/// Why a site's threshold cannot be used or set.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A file.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// It was calibrated with something else.
    #[error(
        "{path}: this camera's threshold was calibrated for {what} {calibrated}, and now it is {found}. Calibrate what runs now \
         (`apc-runtime calibrate --config FILE`), go back to what was calibrated, or judge with the bundle's own threshold \
         (`apc-runtime calibrate --config FILE --clear`)"
    )]
    Unbound {
        /// The threshold.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it was.
        calibrated: String,
        /// What it is.
        found: String,
    },
    /// No room.
    #[error("{0} holds {LIMIT} thresholds, which is the most: `apc-runtime calibrate --config FILE --clear` removes them")]
    Full(PathBuf),
}

/// What a threshold holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// SHA-256 of the bundle.
    pub bundle: String,
    /// The engine that scored.
    pub engine: EngineKind,
    /// The network that scored.
    pub variant: Variant,
    /// Where the camera is plugged in: its device path. A spare camera in the same port takes its place.
    pub port: String,
    /// Everything that makes the picture: format, size, region, controls.
    pub picture: String,
}

impl Binding {
    /// What this detector would be calibrated for in a seat.
    pub fn of(detector: &Detector, config: &Config, id: SeatId) -> Binding {
        let seat = config.seat(id);
        let (port, mut picture) = match &config.views[id.view].source {
            SourceConfig::Replay(_) => ("replay".into(), "files".into()),
            SourceConfig::Camera(camera) => {
                let mut picture = format!("{} {}x{}", camera.format.code(), camera.width, camera.height);
                // Writing into a string cannot fail.
                if let Some(region) = camera.region {
                    let _ = write!(picture, ", region {:?}", as_array(region));
                }
                if let Some(matrix) = camera.matrix {
                    let _ = write!(picture, ", matrix {matrix:?}");
                }
                if let Some(range) = camera.range {
                    let _ = write!(picture, ", range {range:?}");
                }
                for (name, value) in &seat.controls {
                    let _ = write!(picture, ", {name} {value}");
                }
                (camera.device.display().to_string(), picture)
            }
        };
        if let Some(part) = seat.region {
            let _ = write!(picture, ", part {:?}", as_array(part));
        }
        Binding { bundle: detector.bundle.clone(), engine: detector.engine, variant: detector.variant, port, picture }
    }

    pub(crate) fn file(&self) -> String {
        format!("{}-{}-{}.toml", short(&self.bundle), self.engine, self.variant.name())
    }

    /// The first thing in which another binding differs: what it is, there and here.
    fn difference(&self, now: &Binding) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("the bundle", self.bundle.clone(), now.bundle.clone()),
            ("the engine", self.engine.to_string(), now.engine.to_string()),
            ("the network", self.variant.name().into(), now.variant.name().into()),
            ("a camera at the port", self.port.clone(), now.port.clone()),
            ("the picture settings", self.picture.clone(), now.picture.clone()),
        ];
        pairs.into_iter().find(|(_, calibrated, found)| calibrated != found)
    }
}

/// A threshold of this site, with what it holds for and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteThreshold {
    /// [`FORMAT`]
    format: u32,
    /// When it was made; seconds since 1970, UTC.
    pub at: u64,
    /// Who made it.
    pub by: String,
    /// Where the good parts came from.
    pub source: String,
    /// The threshold in force before.
    pub previous: f32,
    /// What it holds for.
    pub binding: Binding,
    /// The threshold, its promise, and quantiles of the good parts' scores.
    pub calibration: Calibration,
    /// Where the threshold of the wished rate may lie, where the parts are too few for the promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailEstimate>,
}

impl SiteThreshold {
    /// A threshold made now.
    pub fn new(by: String, source: String, previous: f32, binding: Binding, calibration: Calibration) -> SiteThreshold {
        SiteThreshold { format: FORMAT, at: now(), by, source, previous, binding, calibration, tail: None }
    }

    /// Parses the bytes of a threshold; `path` only names it in errors.
    ///
    /// # Errors
    /// When it was changed by hand, is damaged, newer than this version, or unsound.
    pub fn parse(path: &Path, bytes: &[u8]) -> detector::Result<SiteThreshold> {
        let refuse = |problem: String| Error::file(path, problem);
        archive::check_seal(bytes, "the site threshold").map_err(refuse)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))?;
        let threshold: SiteThreshold = files::parse_toml(path, text)?;
        if threshold.format != FORMAT {
            return Err(refuse(format!("has format {}; this version reads {FORMAT}: update apc-runtime", threshold.format)));
        }
        threshold.calibration.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(threshold)
    }
}

/// What may happen to a threshold, for the audit log.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'a> {
    /// It was set.
    Set { role: &'a str, threshold: &'a SiteThreshold },
    /// It came with a station from another machine.
    Imported { role: &'a str, at: u64, by: &'a str, station: &'a str, threshold: &'a SiteThreshold },
    /// All of a camera were removed: the bundle's own threshold judges again.
    Cleared { role: &'a str, at: u64, by: &'a str, removed: Vec<Binding> },
}

/// The threshold of this site for what runs now; none where nobody ever calibrated this camera.
///
/// # Errors
/// When the camera was calibrated for something else, or the threshold is damaged.
pub fn find(state: &Path, role: &str, now: &Binding) -> Result<Option<SiteThreshold>, SiteError> {
    let folder = state.join(FOLDER).join(role);
    let path = folder.join(now.file());
    let (path, fits) = match path.is_file() {
        true => (path, true),
        false => {
            let others = files_in(&folder, "toml")?;
            let same =
                |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(short(&now.bundle)));
            match others.iter().find(same).or(others.last()) {
                Some(other) => (other.clone(), false),
                None => return Ok(None),
            }
        }
    };
    let threshold = SiteThreshold::parse(&path, &files::read_bounded(&path, SIZE_LIMIT)?)?;
    match threshold.binding.difference(now) {
        Some((what, calibrated, found)) => Err(SiteError::Unbound { path, what, calibrated, found }),
        None if fits => Ok(Some(threshold)),
        None => Err(Error::file(&path, format!("has the wrong name; {} was expected", now.file())).into()),
    }
}

/// The threshold of this site for a seat, where there is one.
///
/// # Errors
/// As [`find`].
pub fn of(config: &Config, detector: &Detector, id: SeatId) -> Result<Option<SiteThreshold>, SiteError> {
    match config.runtime.state() {
        Some(state) => find(state, &role_of(config, id), &Binding::of(detector, config, id)),
        None => Ok(None),
    }
}

/// The folder of a seat's thresholds.
pub fn role_of(config: &Config, SeatId { product, view }: SeatId) -> String {
    role(&config.views[view].name, &config.products[product].name)
}

/// The folder of a view's thresholds for a product, whose name is empty where the line makes one product only. Names may hold what no
/// file name should: such bytes become their codes.
pub fn role(view: &str, product: &str) -> String {
    let safe = |name: &str| {
        name.bytes().fold(String::new(), |text, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text + &char::from(byte).to_string(),
            _ => text + &format!("%{byte:02x}"),
        })
    };
    if product.is_empty() { safe(view) } else { format!("{}.{}", safe(view), safe(product)) }
}

/// Sets a threshold of this site. It is in the audit log before it is in force.
///
/// # Errors
/// When there is no room, or a file cannot be written.
pub fn set(state: &State, disk: &mut Disk<'_>, role: &str, threshold: &SiteThreshold) -> Result<PathBuf, SiteError> {
    let folder = state.subfolder(Path::new(FOLDER).join(role))?;
    let path = folder.join(threshold.binding.file());
    if !path.is_file() && files_in(&folder, "toml")?.len() >= LIMIT {
        return Err(SiteError::Full(folder));
    }
    let text = toml::to_string(threshold).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))?;
    record(state, disk, &Entry::Set { role, threshold })?;
    disk.write(&path, &archive::seal(text))?;
    Ok(path)
}

/// Removes every threshold of a camera, so that the bundle's own judges; tells how many there were.
///
/// # Errors
/// When a file cannot be removed.
pub fn clear(state: &State, disk: &mut Disk<'_>, role: &str, by: &str) -> Result<usize, SiteError> {
    let paths = files_in(&state.folder().join(FOLDER).join(role), "toml")?;
    if paths.is_empty() {
        return Ok(0);
    }
    let mut removed = Vec::new();
    for path in &paths {
        // A damaged one is to be removed too.
        let threshold = files::read_bounded(path, SIZE_LIMIT).and_then(|bytes| SiteThreshold::parse(path, &bytes));
        removed.extend(threshold.ok().map(|threshold| threshold.binding));
    }
    record(state, disk, &Entry::Cleared { role, at: now(), by, removed })?;
    paths.iter().try_for_each(|path| disk.remove(path))?;
    Ok(paths.len())
}

/// Notes that a threshold comes with a station, before it is written.
pub(crate) fn record_import(
    state: &State,
    disk: &mut Disk<'_>,
    role: &str,
    threshold: &SiteThreshold,
    by: &str,
    station: &str,
) -> Result<(), SiteError> {
    record(state, disk, &Entry::Imported { role, at: now(), by, station, threshold })
}

/// Appends to the audit log. It is written anew as a whole: an entry is there completely or not at all.
fn record(state: &State, disk: &mut Disk<'_>, entry: &Entry<'_>) -> Result<(), SiteError> {
    let path = state.subfolder(FOLDER)?.join(AUDIT);
    let line = serde_json::to_string(entry).map_err(|error| Error::invalid(format!("cannot write JSON: {error}")))?;
    let mut log = if path.is_file() { files::read_bounded(&path, AUDIT_LIMIT)? } else { Vec::new() };
    log.extend_from_slice(line.as_bytes());
    log.push(b'\n');
    let over = (log.len() as u64).saturating_sub(AUDIT_LIMIT) as usize;
    let cut =
        if over == 0 { 0 } else { log[over..].iter().position(|byte| *byte == b'\n').map_or(log.len(), |at| over + at + 1) };
    Ok(disk.write(&path, &log[cut..])?)
}

#[cfg(test)]
mod tests;
