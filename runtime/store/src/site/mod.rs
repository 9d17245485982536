//! Thresholds of this site: what good parts score on this camera, beside what they scored at export.
//!
//! A threshold is bound to the bundle, the engine and network that scored, and the camera's port and picture settings. Where a camera has
//! one and what runs now differs, nothing is judged: a threshold that was found on other scores says nothing.

mod audit;
mod binding;
mod threshold;

use std::path::{Path, PathBuf};

use config::{Config, SeatId};
use detector::files::{self, Disk};
use detector::{Detector, Error, archive};

use audit::{Entry, record};
pub use binding::{Binding, role, role_of};
pub(crate) use threshold::SIZE_LIMIT;
pub use threshold::SiteThreshold;

use crate::folder::{SITE as FOLDER, files_in, now};
use crate::models::short;
use crate::state::State;

/// Most thresholds of a camera.
const LIMIT: usize = 64;

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
    Ok(record(state, disk, &Entry::Imported { role, at: now(), by, station, threshold })?)
}

#[cfg(test)]
mod tests;
