//! Where things lie in a checkout.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;

/// A checkout of this repository.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that this xtask belongs to.
    pub fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask lies at the root of the file system")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The checkout's top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The git-ignored folder for libraries and tools that set-up fetches.
    pub fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// Holds off a second xtask that would change the cache at the same time, until the file is dropped.
    pub fn lock_cache(&self) -> Result<File> {
        let cache = self.cache();
        files::make_folder(&cache)?;
        let path = cache.join("lock");
        let file = files::create(&path)?;
        if file.try_lock().is_err() {
            eprintln!("waiting for another `cargo xtask` that is setting up in {}", cache.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}
