//! A station brought to life on another machine.

use std::path::{Path, PathBuf};

use config::MAIN;
use detector::file_system::FileSystem;
use detector::{Error, archive};

use super::content::{LINE, POINTER, Station};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE};
use crate::models::Model;
use crate::store::LockedStore;

impl<F: FileSystem> LockedStore<F> {
    /// Brings a station to life here: models as `tested` found them on this machine (the active one last, as in [`Station::models`]), then the
    /// rest, and the configuration at the very end: nothing starts from half a station. Given again after a power cut, it goes on.
    ///
    /// # Errors
    /// When something else is there already, or a file cannot be written.
    pub fn import_station(&self, station: &Station, config: &Path, tested: &[Model], by: &str) -> Result<(), StationError> {
        let folder = config.parent().unwrap_or(Path::new(""));
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "find"));
        let (named, given) = (absolute(&folder.join(&station.line.runtime.state))?, absolute(self.folder())?);
        if named != given {
            return Err(StationError::State { named, given });
        }
        let targets = self.targets(station, config);
        for (path, bytes) in &targets {
            if self.files.kind(path).is_some() && self.files.read(path, archive::SIZE_LIMIT)? != *bytes {
                return Err(StationError::Occupied(path.clone()));
            }
        }
        for ((model, _), tested) in station.models.iter().zip(tested) {
            let tested = Model { file: model.file.clone(), ..tested.clone() };
            let bytes = station.files.get(&format!("models/{}", model.file));
            self.install(tested, bytes.map_or(&[], Vec::as_slice))?;
        }
        for (name, threshold) in &station.thresholds {
            if self.files.kind(&self.folder().join(name)).is_none() {
                self.record_import(MAIN, threshold, by, &station.id)?;
            }
        }
        for name in [SITE.to_owned(), format!("{SITE}/{MAIN}"), GOLDEN.to_owned()] {
            self.subfolder(name)?;
        }
        targets.iter().try_for_each(|(path, bytes)| self.files.write(path, bytes))?;
        Ok(())
    }

    /// Where the entries go that are no models, in the order of writing: pictures before the records that name them, models before their
    /// pointer, everything before the configuration.
    fn targets<'a>(&self, station: &'a Station, config: &Path) -> Vec<(PathBuf, &'a [u8])> {
        let mut entries: Vec<(&str, &[u8])> = station.files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        entries.retain(|(name, _)| *name == POINTER || !name.starts_with("models/"));
        entries.sort_by_key(|(name, _)| (*name == LINE, *name == POINTER, name.ends_with(".toml")));
        let path = |name| if name == LINE { config.to_path_buf() } else { self.folder().join(name) };
        entries.into_iter().map(|(name, bytes)| (path(name), bytes)).collect()
    }
}
