//! A station in one file: everything that a spare camera needs to judge as this one does.
//!
//! `station.toml` (who, when, devices, hash list), `line.toml` (the line configuration as it is), `models/` (the active model and the one
//! before), `site/` (their thresholds here), `golden/`. A device is its role and its port, never a serial number: the spare camera in the same
//! port takes the role. The file may come from anywhere: everything in it is parsed as strictly as the running service would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{ACTIVE, Config, ConfigError, MAIN, SourceConfig};
use detector::bundle::Bundle;
use detector::files::{self, Disk};
use detector::picture::Picture;
use detector::{Error, Result, archive};
use serde::{Deserialize, Serialize};

use crate::folder::{GOLDEN, SITE, files_in, now};
use crate::golden::{self, Golden};
use crate::models::{self, History, Model, ModelError, Models};
use crate::site::{self, SiteError, SiteThreshold};
use crate::state::State;

/// Name of the manifest, the first entry.
pub const MANIFEST: &str = "station.toml";
/// Format that this version writes.
const FORMAT: u32 = 1;
const LINE: &str = "line.toml";
const POINTER: &str = "models/active.toml";
const BY_PORT: &str = "/dev/v4l/by-path/";

/// Why a station cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// A file.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// The line configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Thresholds.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// More than one camera or product.
    #[error(
        "{0}: a station carries one camera and one product; with [views] or [recipes], copy the configuration and the state folder instead"
    )]
    Several(PathBuf),
    /// The bundle is not managed.
    #[error(
        "{0}: detector.bundle is not \"{ACTIVE}\": `apc-runtime model install` and `model activate` it, then write that word"
    )]
    NotActive(PathBuf),
    /// The device would be another one on the spare.
    #[error(
        "{path}: source.camera.device is {device}; a spare camera takes the place of this one by its port: name it by {BY_PORT}..., see \
         `apc-runtime camera list`"
    )]
    Port {
        /// The configuration.
        path: PathBuf,
        /// Its device.
        device: PathBuf,
    },
    /// Something else is there already.
    #[error("{0} is there already and differs: import into an empty state folder, or move it away")]
    Occupied(PathBuf),
    /// The configuration leads to another state folder.
    #[error(
        "the station's runtime.state leads to {named}, not to {given}: import its configuration to where it belongs, or change --state"
    )]
    State {
        /// Where it leads.
        named: PathBuf,
        /// What was given.
        given: PathBuf,
    },
}

/// A device of a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What it is for.
    pub role: String,
    /// Where it is plugged in.
    pub port: String,
}

/// Content of `station.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    kit: String,
    at: u64,
    by: String,
    devices: Vec<Device>,
    files: BTreeMap<String, String>,
}

/// Just the version, whatever else a newer manifest holds.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// A verified station in memory.
#[derive(Clone, Debug)]
pub struct Station {
    /// SHA-256 of the whole file.
    pub id: String,
    /// When it was exported; seconds since 1970, UTC.
    pub at: u64,
    /// Who exported it.
    pub by: String,
    /// What must be plugged in where.
    pub devices: Vec<Device>,
    /// Its line configuration, with paths as they stand there.
    pub line: Config,
    /// Its models, the active one last.
    pub models: Vec<(Model, Bundle)>,
    thresholds: Vec<(String, SiteThreshold)>,
    files: BTreeMap<String, Vec<u8>>,
}

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

    /// Puts a station together and gives its bytes, from which it was read again: nothing unreadable is ever written.
    ///
    /// # Errors
    /// When the parts do not fit together; `path` names it.
    pub fn build(
        devices: Vec<Device>,
        files: BTreeMap<String, Vec<u8>>,
        by: &str,
        path: &Path,
    ) -> std::result::Result<(Station, Vec<u8>), StationError> {
        let (kit, hashes) = (env!("CARGO_PKG_VERSION").into(), archive::hashes(&files));
        let manifest = Manifest { format: FORMAT, kit, at: now(), by: by.into(), devices, files: hashes };
        let manifest = toml::to_string(&manifest).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))?;
        let mut entries = vec![(MANIFEST.to_owned(), archive::seal(manifest))];
        entries.extend(files);
        let bytes = archive::pack(&entries).map_err(|problem| Error::file(path, problem))?;
        Ok((Self::parse(&bytes, path)?, bytes))
    }

    /// Reads and verifies a station.
    ///
    /// # Errors
    /// Names the entry and what was expected.
    pub fn read(path: &Path) -> std::result::Result<Station, StationError> {
        Self::parse(&files::read_bounded(path, archive::SIZE_LIMIT)?, path)
    }

    /// [`Station::read`] from memory; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Station::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> std::result::Result<Station, StationError> {
        let refuse = |problem: String| Error::file(path, problem);
        let mut entries = archive::unpack(bytes, MANIFEST, "station").map_err(refuse)?.into_iter();
        let (_, sealed) = entries.next().ok_or_else(|| refuse("is empty".into()))?;
        let manifest = utf8(&sealed, &path.join(MANIFEST))?;
        let Version { format } = files::parse_toml(&path.join(MANIFEST), manifest)?;
        if format != FORMAT {
            return Err(refuse(format!("has station format {format}; this version reads {FORMAT}: update apc-runtime")).into());
        }
        archive::check_seal(&sealed, MANIFEST).map_err(refuse)?;
        let manifest: Manifest = files::parse_toml(&path.join(MANIFEST), manifest)?;
        let files: BTreeMap<String, Vec<u8>> = entries.collect();
        archive::check_hashes(&manifest.files, &files).map_err(refuse)?;

        let entry = |name: &str| {
            let found = files.get(name).map(Vec::as_slice);
            found.ok_or_else(|| Error::file(path, format!("has no entry {name:?}")))
        };
        let text = |name: &str| utf8(entry(name)?, &path.join(name));
        let line = Config::parse(&path.join(LINE), text(LINE)?)?;
        if line.detector.bundle.as_os_str() != ACTIVE {
            return Err(Error::file(path.join(LINE), format!("detector.bundle is not \"{ACTIVE}\"")).into());
        }
        if manifest.devices != devices(&line) {
            return Err(Error::file(path.join(MANIFEST), "names other devices than the line configuration").into());
        }
        let mut expected = vec![LINE.to_owned(), POINTER.to_owned()];
        let History { history } = files::parse_toml(&path.join(POINTER), text(POINTER)?)?;
        if !(1..=2).contains(&history.len()) || history.first() == history.get(1) {
            return Err(Error::file(path.join(POINTER), "names no active model, or more than it and the one before").into());
        }
        let mut found = Vec::new();
        for name in files.keys().filter(|name| name.starts_with("models/") && name.ends_with(".apc")) {
            let record = record_of(name.trim_start_matches("models/"));
            let model: Model = files::parse_toml(&path.join(&record), text(&record)?)?;
            let bundle = Bundle::parse(entry(name)?, &path.join(name))?;
            if bundle.id != model.id || format!("models/{}", model.file) != *name {
                return Err(Error::file(path.join(record), "is the record of another bundle").into());
            }
            expected.extend([name.clone(), record]);
            found.push((model, bundle));
        }
        let mut models = Vec::new();
        for id in &history {
            let at = found.iter().position(|(model, _)| model.id == *id);
            models.push(found.swap_remove(at.ok_or_else(|| Error::file(path.join(POINTER), "names a model that is not there"))?));
        }
        if let Some((model, _)) = found.pop() {
            return Err(Error::file(path.join(POINTER), format!("does not name {}, which is there", model.file)).into());
        }
        let mut thresholds = Vec::new();
        for name in files.keys().filter(|name| name.starts_with("site/")) {
            let threshold = SiteThreshold::parse(&path.join(name), entry(name)?)?;
            if format!("{SITE}/{MAIN}/{}", threshold.binding.file()) != *name || !history.contains(&threshold.binding.bundle) {
                return Err(Error::file(path.join(name), "is not bound to a model of this station").into());
            }
            expected.push(name.clone());
            thresholds.push((name.clone(), threshold));
        }
        let record = format!("{GOLDEN}/{MAIN}.toml");
        if files.contains_key(&record) {
            let golden = Golden::parse(&path.join(&record), text(&record)?)?;
            let picture = format!("{GOLDEN}/{}", golden.picture);
            if files::sha256(entry(&picture)?) != golden.sha256 {
                return Err(Error::file(path.join(record), "is the record of another picture").into());
            }
            Picture::parse(entry(&picture)?, &path.join(&picture))?;
            expected.extend([record, picture]);
        }
        if let Some(name) = files.keys().find(|name| !expected.contains(name)) {
            return Err(Error::file(path, format!("holds {name:?}, which belongs to no station")).into());
        }
        let Manifest { at, by, devices, .. } = manifest;
        Ok(Station { id: files::sha256(bytes), at, by, devices, line, models, thresholds, files })
    }

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

/// The devices that a configuration binds.
fn devices(line: &Config) -> Vec<Device> {
    let port = match &line.views[0].source {
        SourceConfig::Camera(camera) => camera.device.display().to_string(),
        SourceConfig::Replay(_) => "replay".into(),
    };
    vec![Device { role: MAIN.into(), port }]
}

fn record_of(bundle: &str) -> String {
    format!("models/{}.toml", bundle.trim_end_matches(".apc"))
}

fn text(value: &impl Serialize) -> Result<Vec<u8>> {
    toml::to_string(value).map(String::into_bytes).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))
}

fn utf8<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))
}

#[cfg(test)]
mod tests;
