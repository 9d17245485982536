//! Thresholds of this site: what good parts score on this camera, beside what they scored at export.
//!
//! A threshold is bound to the bundle, the engine and network that scored, and the camera's port and picture settings. Where a camera has
//! one and what runs now differs, nothing is judged: a threshold that was found on other scores says nothing.

mod audit;
mod binding;
mod threshold;

use std::path::{Path, PathBuf};

use config::{Config, SeatId};
use detector::file_system::FileSystem;
use detector::{Detector, Error};

use audit::Entry;
pub use binding::{Binding, role, role_of};
pub(crate) use threshold::SIZE_LIMIT;
pub use threshold::SiteThreshold;

use crate::folder::{SITE as FOLDER, now};
use crate::models::short;
use crate::store::{LockedStore, Store};

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

/// The threshold of this site for a seat, where there is one.
///
/// # Errors
/// As [`Store::site_threshold`].
pub fn of(config: &Config, detector: &Detector, id: SeatId) -> Result<Option<SiteThreshold>, SiteError> {
    match config.runtime.state() {
        Some(state) => Store::at(state).site_threshold(&role_of(config, id), &Binding::of(detector, config, id)),
        None => Ok(None),
    }
}

impl<F: FileSystem> Store<F> {
    /// The threshold of this site for what runs now; none where nobody ever calibrated this seat.
    ///
    /// # Errors
    /// When the seat was calibrated for something else, or the threshold is damaged.
    pub fn site_threshold(&self, role: &str, now: &Binding) -> Result<Option<SiteThreshold>, SiteError> {
        let folder = self.site_folder(role);
        let path = folder.join(now.file());
        let (path, fits) = match self.files.is_file(&path) {
            true => (path, true),
            false => {
                let others = self.files_in(&folder, "toml")?;
                let same =
                    |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(short(&now.bundle)));
                match others.iter().find(same).or(others.last()) {
                    Some(other) => (other.clone(), false),
                    None => return Ok(None),
                }
            }
        };
        let threshold = self.read_threshold(&path)?;
        match threshold.binding.difference(now) {
            Some((what, calibrated, found)) => Err(SiteError::Unbound { path, what, calibrated, found }),
            None if fits => Ok(Some(threshold)),
            None => Err(Error::file(&path, format!("has the wrong name; {} was expected", now.file())).into()),
        }
    }

    pub(crate) fn site_folder(&self, role: &str) -> PathBuf {
        self.folder().join(FOLDER).join(role)
    }

    fn read_threshold(&self, path: &Path) -> detector::Result<SiteThreshold> {
        SiteThreshold::parse(path, &self.files.read(path, SIZE_LIMIT)?)
    }
}

impl<F: FileSystem> LockedStore<F> {
    /// Sets a threshold of this site, and gives its path. It is in the audit log before it is in force.
    ///
    /// # Errors
    /// When there is no room, or a file cannot be written.
    pub fn set_site_threshold(&self, role: &str, threshold: &SiteThreshold) -> Result<PathBuf, SiteError> {
        let folder = self.subfolder(Path::new(FOLDER).join(role))?;
        let path = folder.join(threshold.binding.file());
        if !self.files.is_file(&path) && self.files_in(&folder, "toml")?.len() >= LIMIT {
            return Err(SiteError::Full(folder));
        }
        let bytes = threshold.to_bytes()?;
        self.record(&Entry::Set { role, threshold })?;
        self.files.write(&path, &bytes)?;
        Ok(path)
    }

    /// Removes every threshold of a seat, so that the bundle's own judges. Gives their number.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear_site_thresholds(&self, role: &str, by: &str) -> Result<usize, SiteError> {
        let paths = self.files_in(&self.site_folder(role), "toml")?;
        if paths.is_empty() {
            return Ok(0);
        }
        // A damaged one is removed too, and nobody knows its binding.
        let removed = paths.iter().filter_map(|path| Some(self.read_threshold(path).ok()?.binding)).collect();
        self.record(&Entry::Cleared { role, at: now(), by, removed })?;
        paths.iter().try_for_each(|path| self.files.remove(path))?;
        Ok(paths.len())
    }

    /// Notes that a threshold comes with a station, before it is written.
    pub(crate) fn record_import(&self, role: &str, threshold: &SiteThreshold, by: &str, station: &str) -> detector::Result<()> {
        self.record(&Entry::Imported { role, at: now(), by, station, threshold })
    }
}

#[cfg(test)]
mod tests;
