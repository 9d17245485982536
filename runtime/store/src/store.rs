use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use detector::{Error, Result, files};

use crate::folder::{GOLDEN, MODELS, SITE, entries};

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
        for name in [MODELS, SITE, GOLDEN] {
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
