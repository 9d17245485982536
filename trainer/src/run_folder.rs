//! The folder of a run while it is written: locked, and bound to one recipe and one split.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use detector::files::{read_bounded, read_toml, write_atomic};
use detector::run::Split;

use crate::recipe::Recipe;

/// Largest `split.json` in bytes.
const SPLIT_LIMIT: u64 = 64 << 20;
/// File that a running training holds a lock on.
const LOCK: &str = ".lock";
/// End of the names of all checkpoints.
const CHECKPOINT: &str = ".checkpoint.safetensors";

/// A run's folder, locked against a second training.
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Begins a run in a new or empty folder, or with `resume` goes on with one that the same recipe has begun.
    ///
    /// # Errors
    /// When the folder holds something else, another training has locked it, or it cannot be written.
    pub fn open(path: &Path, recipe: &Recipe, resume: bool) -> Result<RunFolder> {
        let path = path.to_path_buf();
        let recipe_path = path.join("recipe.toml");
        let begun = recipe_path.exists();
        match (resume, begun) {
            (true, false) => bail!("{}: holds no run to resume; leave out --resume to begin one", path.display()),
            (false, true) => bail!("{}: already holds a run; choose another --out, or go on with --resume", path.display()),
            (false, false) if !is_empty(&path)? => {
                bail!("{}: is not empty and holds no run; choose another --out", path.display())
            }
            _ => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot create the folder", path.display()))?;
        let lock_path = path.join(LOCK);
        #[expect(clippy::disallowed_methods, reason = "a lock has no content")]
        let lock = File::create(&lock_path).with_context(|| format!("{}: cannot create", lock_path.display()))?;
        lock.try_lock().map_err(|_| anyhow!("{}: another training writes to this run; choose another --out", path.display()))?;
        if begun {
            let previous: Recipe = read_toml(&recipe_path)?;
            if previous != *recipe {
                bail!("{}: was begun with another recipe; resume it with the same options", recipe_path.display());
            }
        } else {
            write_atomic(&recipe_path, toml::to_string(recipe)?.as_bytes())?;
        }
        Ok(RunFolder { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint of a step of learning.
    pub fn checkpoint(&self, step: &str) -> PathBuf {
        self.path.join(format!("{step}{CHECKPOINT}"))
    }

    /// Whether the run is complete: `run.toml` is written last.
    pub fn is_finished(&self) -> bool {
        self.path.join("run.toml").exists()
    }

    /// Writes the split of a new run. A resumed run must have the split that it was begun with: otherwise it could be tested on images
    /// that it has learned from.
    ///
    /// # Errors
    /// When the splits differ, or the file cannot be read or written.
    pub fn settle(&self, split: &Split) -> Result<()> {
        let path = self.path.join("split.json");
        if !path.exists() {
            return self.write("split.json", &serde_json::to_vec_pretty(split)?);
        }
        let begun: Split = serde_json::from_slice(&read_bounded(&path, SPLIT_LIMIT)?)
            .with_context(|| format!("{}: is not the split of a run; begin anew with another --out", path.display()))?;
        if begun != *split {
            bail!(
                "{}: the images are not those that the run was begun with; put them back, or begin anew with another --out",
                path.display()
            );
        }
        Ok(())
    }

    /// Writes a file of the run in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_atomic(&self.path.join(name), bytes)?)
    }

    /// Removes checkpoints and lock, which a finished run no longer needs. A file that cannot be removed does no harm.
    pub fn tidy(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name == LOCK || name.to_string_lossy().ends_with(CHECKPOINT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether a folder holds nothing or does not exist.
fn is_empty(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    let mut entries = fs::read_dir(folder).with_context(|| format!("{}: cannot list", folder.display()))?;
    Ok(entries.next().is_none())
}
