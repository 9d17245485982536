//! The file of a station: how it is put together, and how hostile bytes are read.

use std::collections::BTreeMap;
use std::path::Path;

use config::{ACTIVE, Config, MAIN};
use detector::bundle::Bundle;
use detector::picture::Picture;
use detector::{Error, archive, files};

use super::content::{Device, FORMAT, LINE, MANIFEST, Manifest, POINTER, Station, Version, devices, record_of, utf8};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE, now};
use crate::golden::Golden;
use crate::models::{History, Model};
use crate::site::SiteThreshold;

impl Station {
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
}
