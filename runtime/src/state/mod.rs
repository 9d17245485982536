//! The camera's state folder: what was commissioned here.
//!
//! ```text
//! models/NAME-ID.apc, NAME-ID.toml    installed bundles, each with what its self-test found
//! models/active.toml                  which is active, and which were before
//! site/ROLE/ID-ENGINE-VARIANT.toml    thresholds of this site
//! site/audit.jsonl                    who set them, when and from what
//! golden/ROLE.toml, golden/ROLE.png   the golden part
//! tensorrt/                           what TensorRT built
//! ```
//!
//! Commands change it one at a time; the service only reads it. Each change is an order of single files that may end anywhere.

pub mod golden;
pub mod models;
pub mod site;
pub mod station;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use detector::{Error, Result, files};

/// The role of the camera in `[source]`: files in this folder, and the cameras of a station, go by role and port.
pub use crate::config::recipes::MAIN;

/// A state folder that nobody else changes meanwhile.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder where it is missing, and removes what a power cut left unfinished.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or another command is changing it.
    pub fn open(folder: &Path) -> Result<State> {
        fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(Error::io(&path, "create"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::file(folder, "is being changed by another apc-runtime command; wait for its end"),
            TryLockError::Error(error) => Error::io(&path, "lock")(error),
        })?;
        // Not in tensorrt/, where a service may be writing.
        for name in [models::FOLDER, site::FOLDER, golden::FOLDER] {
            sweep(&folder.join(name), 1)?;
        }
        Ok(State { folder: folder.into(), _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder in it, made where it is missing.
    pub(crate) fn subfolder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
        Ok(folder)
    }
}

/// Removes temporary files, as deep as this module writes any.
fn sweep(folder: &Path, depth: usize) -> Result<()> {
    for path in entries(folder)? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(files::TEMPORARY)) {
            fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
        } else if depth > 0 && path.is_dir() {
            sweep(&path, depth - 1)?;
        }
    }
    Ok(())
}

/// What lies in a folder, sorted; nothing where it is missing.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = || -> std::io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = read().map_err(Error::io(folder, "list"))?;
    paths.sort();
    Ok(paths)
}

/// Files in a folder with this extension, sorted.
fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|found| found == extension));
    Ok(paths)
}

/// Seconds since 1970, UTC; 0 where the clock was never set.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_at_a_time_and_what_is_left_over_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let deep = path.join("site/main");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join(".apc-half"), "").unwrap();
        fs::write(deep.join("whole.toml"), "").unwrap();
        let first = State::open(&path).unwrap();
        assert_eq!(entries(&deep).unwrap(), [deep.join("whole.toml")]);
        assert!(State::open(&path).unwrap_err().to_string().contains("another apc-runtime command"));
        drop(first);
        State::open(&path).unwrap();
    }
}
