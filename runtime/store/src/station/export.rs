//! A station taken down.

use std::collections::BTreeMap;
use std::path::Path;

use config::{ACTIVE, Config, MAIN, SourceConfig};
use detector::archive;
use detector::file_system::FileSystem;

use super::content::{BY_PORT, LINE, POINTER, Station, devices, record_of};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE};
use crate::models::History;
use crate::site::{self, SiteThreshold};
use crate::store::{Store, TOML_LIMIT};
use crate::text::{toml, utf8};

impl Station {
    /// Takes a station down: its configuration file, and what the state folder that the file names holds for it. Gives the station's bytes
    /// too.
    ///
    /// # Errors
    /// When something is missing, damaged, or bound to this very device.
    pub fn export<F: FileSystem>(files: F, config: &Path, by: &str) -> Result<(Station, Vec<u8>), StationError> {
        let text = files.read(config, TOML_LIMIT)?;
        let line = Config::parse(config, utf8(&text, config)?)?;
        if line.views.len() > 1 || !line.has_one_nameless_product() {
            return Err(StationError::Several(config.into()));
        }
        if line.detector.bundle.as_os_str() != ACTIVE {
            return Err(StationError::NotActive(config.into()));
        }
        if let SourceConfig::Camera(camera) = &line.views[0].source
            && !camera.device.starts_with(BY_PORT)
        {
            return Err(StationError::Port { path: config.into(), device: camera.device.clone() });
        }
        let store = Store::on(files, config.parent().unwrap_or(Path::new("")).join(&line.runtime.state));
        let mut entries = BTreeMap::from([(LINE.to_owned(), text)]);
        let installed = store.models()?;
        installed.active()?;
        let mut history = History::default();
        for id in [installed.history.before(), installed.history.active()].into_iter().flatten() {
            let model = installed.find(id)?;
            let bundle = store.files.read(&installed.path(model), archive::SIZE_LIMIT)?;
            entries.insert(format!("models/{}", model.file), bundle);
            entries.insert(record_of(&model.file), toml(model)?.into_bytes());
            history = history.activated(id);
        }
        entries.insert(POINTER.into(), history.to_toml()?);
        for path in store.files_in(&store.site_folder(MAIN), "toml")? {
            let bytes = store.files.read(&path, site::SIZE_LIMIT)?;
            let threshold = SiteThreshold::parse(&path, &bytes)?;
            if history.history.contains(&threshold.binding.bundle) {
                entries.insert(format!("{SITE}/{MAIN}/{}", threshold.binding.file()), bytes);
            }
        }
        if let Some((golden, _)) = store.golden(MAIN)? {
            let record = store.files.read(&store.golden_record(MAIN), TOML_LIMIT)?;
            let picture = store.files.read(&store.golden_picture(&golden), archive::SIZE_LIMIT)?;
            entries.insert(format!("{GOLDEN}/{MAIN}.toml"), record);
            entries.insert(format!("{GOLDEN}/{}", golden.picture), picture);
        }
        Station::build(devices(&line), entries, by, config)
    }
}
