//! The folders of a state folder, and the time of day.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use detector::{Error, Result};

/// Folder of models in the state folder.
pub(crate) const MODELS: &str = "models";
/// Folder of thresholds in the state folder.
pub(crate) const SITE: &str = "site";
/// Folder of golden parts in the state folder.
pub(crate) const GOLDEN: &str = "golden";

/// What lies in a folder, sorted; nothing where it is missing.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = || -> std::io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = read().map_err(Error::io(folder, "list"))?;
    paths.sort();
    Ok(paths)
}

/// Files in a folder with this extension, sorted.
pub(crate) fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|found| found == extension));
    Ok(paths)
}

/// Seconds since 1970, UTC; 0 where the clock was never set.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
