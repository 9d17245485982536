//! The state folder: many read it, one at a time changes it.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use detector::file_system::{Disk, FileSystem, Kind, TEMPORARY};
use detector::{Error, Result, files};
use serde::de::DeserializeOwned;

use crate::folder::{GOLDEN, MODELS, SITE};
use crate::text::utf8;

/// Largest TOML file that is read.
pub(crate) const TOML_LIMIT: u64 = 1 << 20;

/// A camera's state folder, to be read. Readers need no lock: each of its files changes as a whole.
#[derive(Clone, Debug)]
pub struct Store<F = Disk> {
    pub(crate) files: F,
    folder: PathBuf,
}

impl Store {
    /// The state folder at this path; it need not be there.
    pub fn at(folder: impl Into<PathBuf>) -> Store {
        Store::on(Disk, folder)
    }
}

impl<F: FileSystem> Store<F> {
    /// [`Store::at`] on any file system.
    pub fn on(files: F, folder: impl Into<PathBuf>) -> Store<F> {
        Store { files, folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps other commands from changing the folder. Makes it where it is missing, and removes what a power cut left unfinished.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or another command is changing it.
    pub fn lock(self) -> Result<LockedStore<F>> {
        self.files.create_folders(&self.folder)?;
        let problem = "is being changed by another apc-runtime command; wait for its end";
        let lock = self.files.lock(&self.folder.join(".lock"))?.ok_or_else(|| Error::file(&self.folder, problem))?;
        // Not in tensorrt/, where a service may be writing.
        [MODELS, SITE, GOLDEN].iter().try_for_each(|name| self.recover(&self.folder.join(name), 1))?;
        self.sync(&self.folder)?;
        Ok(LockedStore { store: self, _lock: lock })
    }

    /// Removes temporary files, as deep as this crate writes any. The names that an ended command left may not have reached the disk: they
    /// are synced before anything builds on them.
    fn recover(&self, folder: &Path, depth: usize) -> Result<()> {
        if self.files.kind(folder) != Some(Kind::Folder) {
            return Ok(());
        }
        for path in self.entries(folder)? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY)) {
                self.files.remove(&path)?;
            } else if depth > 0 {
                self.recover(&path, depth - 1)?;
            }
        }
        self.sync(folder)
    }

    fn sync(&self, folder: &Path) -> Result<()> {
        self.files.sync_folder(folder).map_err(Error::io(folder, "sync"))
    }

    /// Paths of what lies in a folder, sorted; none where it is missing.
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        if self.files.kind(folder) != Some(Kind::Folder) {
            return Ok(Vec::new());
        }
        let mut paths = self.files.list(folder).map_err(Error::io(folder, "list"))?;
        paths.sort();
        Ok(paths)
    }

    /// Reads a TOML file of the state folder.
    pub(crate) fn read_toml<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        files::parse_toml(path, utf8(&self.files.read(path, TOML_LIMIT)?, path)?)
    }

    /// Files in a folder whose names end so, sorted.
    pub(crate) fn files_in(&self, folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
        let mut paths = self.entries(folder)?;
        paths.retain(|path| self.files.is_file(path) && path.extension().is_some_and(|found| found == extension));
        Ok(paths)
    }
}

/// A state folder that nobody else changes meanwhile.
#[derive(Debug)]
pub struct LockedStore<F: FileSystem = Disk> {
    store: Store<F>,
    _lock: F::Lock,
}

impl<F: FileSystem> LockedStore<F> {
    /// A folder in the state folder, made where it is missing.
    pub(crate) fn subfolder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        self.files.create_folders(&folder)?;
        Ok(folder)
    }
}

impl<F: FileSystem> Deref for LockedStore<F> {
    type Target = Store<F>;

    fn deref(&self) -> &Store<F> {
        &self.store
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_command_at_a_time_and_what_is_left_over_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let deep = path.join("site/main");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join(".apc-half"), "").unwrap();
        fs::write(deep.join("whole.toml"), "").unwrap();
        let first = Store::at(&path).lock().unwrap();
        assert_eq!(first.entries(&deep).unwrap(), [deep.join("whole.toml")]);
        assert!(Store::at(&path).lock().unwrap_err().to_string().contains("another apc-runtime command"));
        drop(first);
        Store::at(&path).lock().unwrap();
    }
}
