//! Installed bundles, and which of them is active.

mod history;
mod model;

use std::path::{Path, PathBuf};

use config::ACTIVE;
use detector::bundle::{Bundle, SIZE_LIMIT};
use detector::file_system::FileSystem;
use detector::{Error, files};

pub use history::History;
pub use model::{Model, short};

use crate::folder::MODELS as FOLDER;
use crate::store::{LockedStore, Store};
use crate::text::toml;

/// Most models of a state folder.
const MODELS_LIMIT: usize = 16;
const POINTER: &str = "active.toml";

/// Why models cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// Nothing was activated.
    #[error("no model is active in {0}: `apc-runtime model install` one, then `model activate` it")]
    NoneActive(PathBuf),
    /// There is nothing to go back to.
    #[error("no model was active before this one: nothing to go back to")]
    NoneBefore,
    /// No installed model has this id.
    #[error("no installed model has an id or name that begins with {wanted:?}; installed are: {installed}")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// What is there.
        installed: String,
    },
    /// Several have it.
    #[error("{wanted:?} is the beginning of several models: {found}; write more of it")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Which.
        found: String,
    },
    /// It must stay.
    #[error("{0} is active or the one to go back to: activate another model first")]
    InUse(String),
    /// No room.
    #[error("{MODELS_LIMIT} models are installed, which is the most: `apc-runtime model remove` one first")]
    Full,
}

/// The models of a state folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Models {
    folder: PathBuf,
    /// Sorted by name.
    pub installed: Vec<Model>,
    /// Which were activated.
    pub history: History,
}

impl Models {
    /// The active model.
    ///
    /// # Errors
    /// When none is, or its bundle is no longer installed.
    pub fn active(&self) -> Result<&Model, ModelError> {
        let id = self.history.active().ok_or_else(|| ModelError::NoneActive(self.folder.clone()))?;
        self.find(id)
    }

    /// Where a model's bundle is.
    pub fn path(&self, model: &Model) -> PathBuf {
        self.folder.join(&model.file)
    }

    /// The model whose id or file name begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, wanted: &str) -> Result<&Model, ModelError> {
        let begins = |model: &&Model| model.id.starts_with(wanted) || model.file.starts_with(wanted);
        let found: Vec<&Model> = self.installed.iter().filter(begins).collect();
        let names = |models: &[&Model]| models.iter().map(|model| model.file.as_str()).collect::<Vec<_>>().join(", ");
        match found.as_slice() {
            [model] => Ok(model),
            [] => {
                let installed = names(&self.installed.iter().collect::<Vec<_>>());
                let installed = if installed.is_empty() { "none".into() } else { installed };
                Err(ModelError::Unknown { wanted: wanted.into(), installed })
            }
            several => Err(ModelError::Ambiguous { wanted: wanted.into(), found: names(several) }),
        }
    }
}

impl<F: FileSystem> Store<F> {
    /// What is installed; none where the folder is missing.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn models(&self) -> Result<Models, ModelError> {
        let folder = self.folder().join(FOLDER);
        let pointer = folder.join(POINTER);
        let records = self.files_in(&folder, "toml")?.into_iter().filter(|path| *path != pointer);
        let installed = records.map(|path| self.read_toml(&path)).collect::<Result<Vec<Model>, _>>()?;
        let history = if self.files.is_file(&pointer) { self.read_toml(&pointer)? } else { History::default() };
        Ok(Models { folder, installed, history })
    }

    /// Reads the bundle that a configuration names: a file, or [`ACTIVE`] for the active model.
    ///
    /// # Errors
    /// When it cannot be read, no model is active, or the active one is not what was installed.
    pub fn bundle(&self, named: &Path) -> Result<Bundle, ModelError> {
        let read = |path: &Path| Bundle::parse(&self.files.read(path, SIZE_LIMIT)?, path);
        if named != Path::new(ACTIVE) {
            return Ok(read(named)?);
        }
        let models = self.models()?;
        let model = models.active()?;
        let bundle = read(&models.path(model))?;
        expect_id(&models, model, &bundle.id)?;
        Ok(bundle)
    }
}

impl<F: FileSystem> LockedStore<F> {
    /// Installs a bundle that has passed its self-test: its bytes first, then the record that makes it installed. Gives the bundle's path.
    ///
    /// # Errors
    /// When there is no room, or a file cannot be written.
    pub fn install(&self, mut model: Model, bytes: &[u8]) -> Result<PathBuf, ModelError> {
        let folder = self.subfolder(FOLDER)?;
        let installed = self.models()?.installed;
        match installed.iter().find(|other| other.id == model.id) {
            Some(same) => model.file.clone_from(&same.file),
            None if installed.len() >= MODELS_LIMIT => return Err(ModelError::Full),
            None => {}
        }
        let path = folder.join(&model.file);
        self.files.write(&path, bytes)?;
        self.files.write(&folder.join(model.record()), toml(&model)?.as_bytes())?;
        Ok(path)
    }

    /// Makes an installed model the active one, if its bundle is still what was installed.
    ///
    /// # Errors
    /// When it is not, or is not installed.
    pub fn activate(&self, wanted: &str) -> Result<Model, ModelError> {
        let models = self.models()?;
        let model = models.find(wanted)?;
        self.expect_whole(&models, model)?;
        self.point(&models.history.clone().activated(&model.id))?;
        Ok(model.clone())
    }

    /// Makes the model active that was before.
    ///
    /// # Errors
    /// When there is none.
    pub fn roll_back(&self) -> Result<Model, ModelError> {
        let models = self.models()?;
        let history = models.history.clone().rolled_back().ok_or(ModelError::NoneBefore)?;
        let model = models.find(history.active().ok_or(ModelError::NoneBefore)?)?;
        self.expect_whole(&models, model)?;
        self.point(&history)?;
        Ok(model.clone())
    }

    /// Removes an installed model that is not in use.
    ///
    /// # Errors
    /// When it is, or is not installed.
    pub fn remove(&self, wanted: &str) -> Result<Model, ModelError> {
        let models = self.models()?;
        let model = models.find(wanted)?;
        if [models.history.active(), models.history.before()].contains(&Some(&model.id)) {
            return Err(ModelError::InUse(model.file.clone()));
        }
        let history = models.history.clone().without(&model.id);
        if history != models.history {
            self.point(&history)?;
        }
        // The record first: a bundle without a record is not installed.
        self.files.remove(&models.folder.join(model.record()))?;
        self.files.remove(&models.path(model))?;
        Ok(model.clone())
    }

    fn expect_whole(&self, models: &Models, model: &Model) -> Result<(), ModelError> {
        expect_id(models, model, &files::sha256(&self.files.read(&models.path(model), SIZE_LIMIT)?))
    }

    fn point(&self, history: &History) -> Result<(), ModelError> {
        Ok(self.files.write(&self.subfolder(FOLDER)?.join(POINTER), &history.to_toml()?)?)
    }
}

fn expect_id(models: &Models, model: &Model, found: &str) -> Result<(), ModelError> {
    if found == model.id {
        return Ok(());
    }
    let problem = "is not the bundle that was installed: its content has changed; install it again";
    Err(Error::file(models.path(model), problem).into())
}

#[cfg(test)]
mod tests;
