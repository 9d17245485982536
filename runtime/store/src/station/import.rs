//! A station brought to life on another machine.

use std::path::{Path, PathBuf};

use config::MAIN;
use detector::files::{self, Disk};
use detector::{Error, archive};

use super::content::{LINE, POINTER, Station};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE};
use crate::models::{self, Model};
use crate::site;
use crate::state::State;

impl Station {
    /// Brings a station to life here: models as `tested` found them on this machine (the active one last, as in [`Station::models`]), then the
    /// rest, and the configuration at the very end: nothing starts from half a station. Given again after a power cut, it goes on.
    ///
    /// # Errors
    /// When something else is there already, or a file cannot be written.
    pub fn import(
        &self,
        config: &Path,
        state: &State,
        disk: &mut Disk<'_>,
        tested: &[Model],
        by: &str,
    ) -> std::result::Result<(), StationError> {
        let folder = config.parent().unwrap_or(Path::new(""));
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "find"));
        let (named, given) = (absolute(&folder.join(&self.line.runtime.state))?, absolute(state.folder())?);
        if named != given {
            return Err(StationError::State { named, given });
        }
        let rest = self.files.iter().filter(|(name, _)| *name == POINTER || !name.starts_with("models/"));
        let mut targets: Vec<(PathBuf, &[u8])> = rest
            .map(|(name, bytes)| {
                let path = if name == LINE { config.to_path_buf() } else { state.folder().join(name) };
                (path, bytes.as_slice())
            })
            .collect();
        // Pictures before the records that name them, models before their pointer, everything before the configuration.
        let order = |path: &Path| {
            let name = path.strip_prefix(state.folder()).unwrap_or(path);
            (path == config, name == Path::new(POINTER), path.extension().is_some_and(|extension| extension == "toml"))
        };
        targets.sort_by_key(|(path, _)| order(path));
        for (path, bytes) in &targets {
            if path.exists() && files::read_bounded(path, archive::SIZE_LIMIT)? != *bytes {
                return Err(StationError::Occupied(path.clone()));
            }
        }
        for ((model, _), tested) in self.models.iter().zip(tested) {
            let tested = Model { file: model.file.clone(), ..tested.clone() };
            let bytes = self.files.get(&format!("models/{}", model.file));
            models::install(state, disk, tested, bytes.map_or(&[], Vec::as_slice))?;
        }
        for (name, threshold) in &self.thresholds {
            if !state.folder().join(name).exists() {
                site::record_import(state, disk, MAIN, threshold, by, &self.id)?;
            }
        }
        for name in [SITE.to_owned(), format!("{SITE}/{MAIN}"), GOLDEN.to_owned()] {
            state.subfolder(name)?;
        }
        targets.iter().try_for_each(|(path, bytes)| disk.write(path, bytes))?;
        Ok(())
    }
}
