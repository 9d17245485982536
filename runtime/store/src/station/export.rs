//! A station taken down.

use std::collections::BTreeMap;
use std::path::Path;

use config::{ACTIVE, Config, MAIN, SourceConfig};
use detector::{archive, files};

use super::content::{BY_PORT, LINE, POINTER, Station, devices, record_of, text};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE, files_in};
use crate::golden;
use crate::models::{self, History, Models};
use crate::site::{self, SiteThreshold};

impl Station {
    /// Takes a station down: its configuration file and what the state folder holds for it.
    ///
    /// # Errors
    /// When something is missing, damaged, or bound to this very device.
    pub fn export(config: &Path, by: &str) -> std::result::Result<(Station, Vec<u8>), StationError> {
        let line = Config::read(config)?;
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
        let state = &line.runtime.state;
        let mut files = BTreeMap::from([(LINE.to_owned(), files::read_bounded(config, 1 << 20)?)]);
        let installed = Models::read(state)?;
        installed.active()?;
        let mut history = History::default();
        for id in [installed.history.before(), installed.history.active()].into_iter().flatten() {
            let model = installed.find(id)?;
            files.insert(format!("models/{}", model.file), files::read_bounded(&installed.path(model), archive::SIZE_LIMIT)?);
            files.insert(record_of(&model.file), text(model)?);
            history = history.activated(id);
        }
        files.insert(POINTER.into(), models::pointer(&history)?);
        for path in files_in(&state.join(SITE).join(MAIN), "toml")? {
            let bytes = files::read_bounded(&path, site::SIZE_LIMIT)?;
            let threshold = SiteThreshold::parse(&path, &bytes)?;
            if history.history.contains(&threshold.binding.bundle) {
                files.insert(format!("{SITE}/{MAIN}/{}", threshold.binding.file()), bytes);
            }
        }
        if let Some((golden, _)) = golden::read(state, MAIN)? {
            let picture = state.join(GOLDEN).join(&golden.picture);
            files.insert(format!("{GOLDEN}/{}", golden.picture), files::read_bounded(&picture, archive::SIZE_LIMIT)?);
            files.insert(format!("{GOLDEN}/{MAIN}.toml"), files::read_bounded(&golden::record(state, MAIN), 64 << 10)?);
        }
        Self::build(devices(&line), files, by, config)
    }
}
