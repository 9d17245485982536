//! The file of a station: how it is put together, and how hostile bytes are read.

use std::collections::BTreeMap;
use std::path::Path;

use config::{ACTIVE, Config, MAIN};
use detector::bundle::Bundle;
use detector::picture::Picture;
use detector::{Error, Result, archive, files};
use serde::de::DeserializeOwned;

use super::content::{Device, FORMAT, LINE, MANIFEST, Manifest, POINTER, Station, Version, devices, record_of};
use super::error::StationError;
use crate::folder::{GOLDEN, SITE, now};
use crate::golden::Golden;
use crate::models::{History, Model};
use crate::site::SiteThreshold;
use crate::text::{toml, utf8};

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
        let mut entries = vec![(MANIFEST.to_owned(), archive::seal(toml(&manifest)?))];
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

        let entries = Entries { path, files: &files };
        let line = Config::parse(&path.join(LINE), entries.text(LINE)?)?;
        if line.detector.bundle.as_os_str() != ACTIVE {
            return Err(entries.refused(LINE, format!("detector.bundle is not \"{ACTIVE}\"")).into());
        }
        if manifest.devices != devices(&line) {
            return Err(entries.refused(MANIFEST, "names other devices than the line configuration").into());
        }
        let history = entries.history()?;
        let models = entries.models(&history)?;
        let thresholds = entries.thresholds(&history)?;
        let golden = entries.golden()?;

        let mut expected = vec![LINE.to_owned(), POINTER.to_owned()];
        expected.extend(models.iter().flat_map(|(model, _)| [bundle_of(model), record_of(&model.file)]));
        expected.extend(thresholds.iter().map(|(name, _)| name.clone()));
        expected.extend(golden.iter().flat_map(|golden| [golden_record(), picture_of(golden)]));
        if let Some(name) = files.keys().find(|name| !expected.contains(name)) {
            return Err(refuse(format!("holds {name:?}, which belongs to no station")).into());
        }
        let Manifest { at, by, devices, .. } = manifest;
        Ok(Station { id: files::sha256(bytes), at, by, devices, line, models, thresholds, files })
    }
}

/// The entries of a station whose hashes are right. Nothing else about them is known.
struct Entries<'a> {
    path: &'a Path,
    files: &'a BTreeMap<String, Vec<u8>>,
}

impl Entries<'_> {
    fn bytes(&self, name: &str) -> Result<&[u8]> {
        let found = self.files.get(name).map(Vec::as_slice);
        found.ok_or_else(|| Error::file(self.path, format!("has no entry {name:?}")))
    }

    fn text(&self, name: &str) -> Result<&str> {
        utf8(self.bytes(name)?, &self.path.join(name))
    }

    fn toml<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        files::parse_toml(&self.path.join(name), self.text(name)?)
    }

    fn refused(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::file(self.path.join(name), problem)
    }

    /// The ids of the model before, if there is one, and of the active model.
    fn history(&self) -> Result<Vec<String>> {
        let History { history } = self.toml(POINTER)?;
        if !(1..=2).contains(&history.len()) || history.first() == history.get(1) {
            return Err(self.refused(POINTER, "names no active model, or more than it and the one before"));
        }
        Ok(history)
    }

    /// The models of these ids, in their order. There must be no others.
    fn models(&self, history: &[String]) -> Result<Vec<(Model, Bundle)>> {
        let mut found = Vec::new();
        for name in self.files.keys().filter(|name| name.starts_with("models/") && name.ends_with(".apc")) {
            let record = record_of(name.trim_start_matches("models/"));
            let model: Model = self.toml(&record)?;
            let bundle = Bundle::parse(self.bytes(name)?, &self.path.join(name))?;
            if bundle.id != model.id || bundle_of(&model) != *name {
                return Err(self.refused(&record, "is the record of another bundle"));
            }
            found.push((model, bundle));
        }
        let mut models = Vec::new();
        for id in history {
            let at = found.iter().position(|(model, _)| model.id == *id);
            models.push(found.swap_remove(at.ok_or_else(|| self.refused(POINTER, "names a model that is not there"))?));
        }
        match found.pop() {
            Some((model, _)) => Err(self.refused(POINTER, format!("does not name {}, which is there", model.file))),
            None => Ok(models),
        }
    }

    /// The site thresholds with their names, each bound to one of these models.
    fn thresholds(&self, history: &[String]) -> Result<Vec<(String, SiteThreshold)>> {
        let mut thresholds = Vec::new();
        for name in self.files.keys().filter(|name| name.starts_with("site/")) {
            let threshold = SiteThreshold::parse(&self.path.join(name), self.bytes(name)?)?;
            let binding = &threshold.binding;
            if format!("{SITE}/{MAIN}/{}", binding.file()) != *name || !history.contains(&binding.bundle) {
                return Err(self.refused(name, "is not bound to a model of this station"));
            }
            thresholds.push((name.clone(), threshold));
        }
        Ok(thresholds)
    }

    /// The record of the golden part, whose picture is sound.
    fn golden(&self) -> Result<Option<Golden>> {
        let record = golden_record();
        if !self.files.contains_key(&record) {
            return Ok(None);
        }
        let golden = Golden::parse(&self.path.join(&record), self.text(&record)?)?;
        let picture = picture_of(&golden);
        if files::sha256(self.bytes(&picture)?) != golden.sha256 {
            return Err(self.refused(&record, "is the record of another picture"));
        }
        Picture::parse(self.bytes(&picture)?, &self.path.join(&picture))?;
        Ok(Some(golden))
    }
}

fn bundle_of(model: &Model) -> String {
    format!("models/{}", model.file)
}

fn golden_record() -> String {
    format!("{GOLDEN}/{MAIN}.toml")
}

fn picture_of(golden: &Golden) -> String {
    format!("{GOLDEN}/{}", golden.picture)
}
