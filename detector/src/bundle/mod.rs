//! The bundle, `NAME.apc`: one uncompressed tar that holds everything a camera needs to judge one product.

mod manifest;

pub use manifest::{
    BackboneFile, BankFile, DetectorInfo, FORMAT, FUSED_APART, Manifest, PatchDescriptorSection, Reference, SelfTest, Variant,
    VariantSection,
};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bank::MemoryBank;
use crate::calibration::Calibration;
use crate::picture;
use crate::preprocess::Prepared;
use crate::run::Split;
use crate::scorer::{Places, ScoreRule};
use crate::{Error, Result, archive, files};

pub use crate::archive::SIZE_LIMIT;
/// Name of the manifest, the first entry.
pub const MANIFEST: &str = "manifest.toml";

/// A verified bundle in memory. The bytes that were verified are the bytes that are used: nothing is read again.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// SHA-256 of the whole file.
    pub id: String,
    /// The manifest.
    pub manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Reads and verifies a bundle: structure, hashes, version, manifest, split and bank.
    ///
    /// # Errors
    /// Names the file, the entry and what was expected.
    pub fn read(path: &Path) -> Result<Bundle> {
        Self::parse(&files::read_bounded(path, SIZE_LIMIT)?, path)
    }

    /// [`Bundle::read`] from memory; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Bundle::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Bundle> {
        let refuse = |problem: String| Error::file(path, problem);
        let entries = archive::unpack(bytes, MANIFEST, "bundle").map_err(refuse)?;
        let mut entries = entries.into_iter();
        let manifest = match entries.next() {
            Some((name, bytes)) if name == MANIFEST => {
                // The version comes first: a newer format may be sealed in another way.
                let manifest = Manifest::parse(&bytes).map_err(refuse)?;
                archive::check_seal(&bytes, MANIFEST).map_err(refuse)?;
                manifest
            }
            _ => return Err(refuse(format!("is no bundle: its first entry is not {MANIFEST}"))),
        };
        let files: BTreeMap<String, Vec<u8>> = entries.collect();
        archive::check_hashes(&manifest.files, &files).map_err(refuse)?;
        let bundle = Bundle { path: path.to_path_buf(), id: files::sha256(bytes), manifest, files };
        bundle.check_parts()?;
        Ok(bundle)
    }

    /// Puts a bundle together and gives its bytes; the manifest's hash list is filled in. The bundle is read again from those bytes, so
    /// that no unreadable bundle is ever written.
    ///
    /// # Errors
    /// When the parts do not fit together.
    pub fn build(mut manifest: Manifest, files: BTreeMap<String, Vec<u8>>, path: &Path) -> Result<(Bundle, Vec<u8>)> {
        manifest.files = archive::hashes(&files);
        let text = toml::to_string(&manifest).map_err(|error| Error::invalid(format!("manifest cannot be written: {error}")))?;
        let mut entries = vec![(MANIFEST.to_string(), archive::seal(text))];
        entries.extend(files);
        let bytes = archive::pack(&entries).map_err(|problem| Error::file(path, problem))?;
        Ok((Self::parse(&bytes, path)?, bytes))
    }

    /// Bytes of one entry.
    ///
    /// # Errors
    /// When the bundle has no such entry.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        let found = self.files.get(name).map(Vec::as_slice);
        found.ok_or_else(|| Error::file(&self.path, format!("has no entry {name:?}")))
    }

    /// Names and sizes of all entries but the manifest.
    pub fn entries(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.len()))
    }

    /// The memory bank.
    ///
    /// # Errors
    /// When it is missing or unsound.
    pub fn bank(&self) -> Result<MemoryBank> {
        let name = &self.manifest.bank.file;
        MemoryBank::parse(self.file(name)?, &self.path.join(name))
    }

    /// How distances and logits become a score and a map.
    ///
    /// # Errors
    /// When a file of it is missing or unsound.
    pub fn score_rule(&self) -> Result<ScoreRule> {
        let Manifest { smoothing, defects, places, .. } = &self.manifest;
        let read = |name: &String| Ok(Arc::new(Places::parse(self.file(name)?, &self.path.join(name))?));
        Ok(ScoreRule { smoothing: *smoothing, defects: *defects, places: places.as_ref().map(read).transpose()? })
    }

    /// ONNX file, threshold and self-test of a form of the network.
    ///
    /// # Errors
    /// When the bundle does not have it.
    pub fn variant(&self, variant: Variant) -> Result<(&[u8], &Calibration, &SelfTest)> {
        let manifest = &self.manifest;
        if variant == Variant::Float {
            return Ok((self.file(&manifest.backbone.file)?, &manifest.calibration, &manifest.self_test));
        }
        let section = manifest.variants.get(&variant).ok_or_else(|| {
            let name = variant.name();
            Error::file(&self.path, format!("has no {name} variant; export it with `apc-export bundle --{name}`"))
        })?;
        Ok((self.file(&section.file)?, &section.calibration, &section.self_test))
    }

    /// Every image that training or calibration saw.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn split(&self) -> Result<Split> {
        let refuse = |error: serde_json::Error| Error::file(self.path.join("split.json"), error.to_string());
        serde_json::from_slice(self.file("split.json")?).map_err(refuse)
    }

    /// The picture of a self-test reference.
    ///
    /// # Errors
    /// When it is missing, damaged or not of the network's size.
    pub fn reference(&self, reference: &Reference) -> Result<Prepared> {
        let path = self.path.join(&reference.file);
        let decoded = picture::decode_bytes(self.file(&reference.file)?).map_err(|problem| Error::file(&path, problem))?;
        let size = self.manifest.input.input();
        if (decoded.width(), decoded.height()) != (size.width, size.height) {
            return Err(Error::file(path, "does not have the size of the network's input"));
        }
        Ok(Prepared { pixels: decoded.into_rgb8(), content: reference.content })
    }

    fn check_parts(&self) -> Result<()> {
        let bank = self.bank()?;
        let expected = &self.manifest.bank;
        if (bank.len(), bank.dims(), bank.quantisation()) != (expected.vectors, expected.dims, expected.quantisation) {
            return Err(Error::file(self.path.join(&expected.file), "is not the memory bank that the manifest describes"));
        }
        self.score_rule()?;
        self.file(&self.manifest.backbone.file)?;
        for section in self.manifest.variants.values() {
            self.file(&section.file)?;
            section.self_test.references.iter().try_for_each(|reference| self.reference(reference).map(drop))?;
        }
        self.split()?;
        self.manifest.self_test.references.iter().try_for_each(|reference| self.reference(reference).map(drop))
    }
}
