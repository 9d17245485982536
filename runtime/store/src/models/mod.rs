//! Installed bundles, and which of them is active.

mod history;
mod model;

use std::path::{Path, PathBuf};

use config::ACTIVE;
use detector::Error;
use detector::bundle::Bundle;
use detector::files::{self, Disk};
use serde::Serialize;

pub use history::History;
pub use model::{Model, short};

use crate::folder::{MODELS as FOLDER, files_in};
use crate::state::State;

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
    /// Reads what is installed in a state folder; none where the folder is missing.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn read(state: &Path) -> Result<Models, ModelError> {
        let folder = state.join(FOLDER);
        let pointer = folder.join(POINTER);
        let records = files_in(&folder, "toml")?.into_iter().filter(|path| *path != pointer);
        let installed = records.map(|path| files::read_toml(&path)).collect::<Result<Vec<Model>, _>>()?;
        let history = if pointer.is_file() { files::read_toml(&pointer)? } else { History::default() };
        Ok(Models { folder, installed, history })
    }

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

/// Puts a bundle that has passed its self-test into the state folder: its bytes first, then the record that makes it installed.
///
/// # Errors
/// When there is no room, or a file cannot be written.
pub fn install(state: &State, disk: &mut Disk<'_>, mut model: Model, bytes: &[u8]) -> Result<PathBuf, ModelError> {
    let folder = state.subfolder(FOLDER)?;
    let installed = Models::read(state.folder())?.installed;
    match installed.iter().find(|other| other.id == model.id) {
        Some(same) => model.file.clone_from(&same.file),
        None if installed.len() >= MODELS_LIMIT => return Err(ModelError::Full),
        None => {}
    }
    let path = folder.join(&model.file);
    disk.write(&path, bytes)?;
    disk.write(&folder.join(model.record()), &toml(&model)?)?;
    Ok(path)
}

/// Makes an installed model the active one, if its bundle is still what was installed.
///
/// # Errors
/// When it is not, or is not installed.
pub fn activate(state: &State, disk: &mut Disk<'_>, wanted: &str) -> Result<Model, ModelError> {
    let models = Models::read(state.folder())?;
    let model = models.find(wanted)?;
    expect_id(&models.path(model), &files::sha256_file(&models.path(model))?, model)?;
    point(state, disk, &models.history.clone().activated(&model.id))?;
    Ok(model.clone())
}

/// Makes the model active that was before.
///
/// # Errors
/// When there is none.
pub fn roll_back(state: &State, disk: &mut Disk<'_>) -> Result<Model, ModelError> {
    let models = Models::read(state.folder())?;
    let history = models.history.clone().rolled_back().ok_or(ModelError::NoneBefore)?;
    let model = models.find(history.active().ok_or(ModelError::NoneBefore)?)?;
    expect_id(&models.path(model), &files::sha256_file(&models.path(model))?, model)?;
    point(state, disk, &history)?;
    Ok(model.clone())
}

/// Removes an installed model that is not in use.
///
/// # Errors
/// When it is, or is not installed.
pub fn remove(state: &State, disk: &mut Disk<'_>, wanted: &str) -> Result<Model, ModelError> {
    let models = Models::read(state.folder())?;
    let model = models.find(wanted)?;
    if [models.history.active(), models.history.before()].contains(&Some(&model.id)) {
        return Err(ModelError::InUse(model.file.clone()));
    }
    let history = models.history.clone().without(&model.id);
    if history != models.history {
        point(state, disk, &history)?;
    }
    // The record first: a bundle without a record is not installed.
    disk.remove(&models.folder.join(model.record()))?;
    disk.remove(&models.path(model))?;
    Ok(model.clone())
}

fn point(state: &State, disk: &mut Disk<'_>, history: &History) -> Result<(), ModelError> {
    Ok(disk.write(&state.subfolder(FOLDER)?.join(POINTER), &pointer(history)?)?)
}

/// The text of `active.toml`.
pub(crate) fn pointer(history: &History) -> Result<Vec<u8>, ModelError> {
    let note = b"# Written by `apc-runtime model`. The last one is active; a rollback goes to the one before it.\n";
    Ok([&note[..], &toml(history)?].concat())
}

fn expect_id(path: &Path, found: &str, model: &Model) -> Result<(), ModelError> {
    if found == model.id {
        return Ok(());
    }
    Err(Error::file(path, "is not the bundle that was installed: its content has changed; install it again").into())
}

/// Reads the bundle that a configuration names: a file, or [`ACTIVE`] for the active model of the state folder.
///
/// # Errors
/// When it cannot be read, no model is active, or the active one is not what was installed.
pub fn read_bundle(named: &Path, state: &Path) -> Result<Bundle, ModelError> {
    if named != Path::new(ACTIVE) {
        return Ok(Bundle::read(named)?);
    }
    let models = Models::read(state)?;
    let model = models.active()?;
    let path = models.path(model);
    let bundle = Bundle::read(&path)?;
    expect_id(&path, &bundle.id, model)?;
    Ok(bundle)
}

fn toml(value: &impl Serialize) -> Result<Vec<u8>, ModelError> {
    let text = toml::to_string(value).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))?;
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests;
