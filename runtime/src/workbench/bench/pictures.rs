use std::path::{Path, PathBuf};

use detector::bundle::Bundle;
use detector::picture::Picture;
use detector::preprocess::Prepared;
use detector::scorer::{Extractor, Features, Times};
use detector::{Detector, Result, dataset};

use super::error::BenchError;

/// Pictures that are held in memory.
const PICTURES_LIMIT: usize = 16;

/// The pictures that a measurement scores, one after the other and again from the first.
#[derive(Debug)]
pub struct Pictures(Kind);

#[derive(Debug)]
enum Kind {
    /// The bundle's references, which are at the network's size already.
    References(Vec<Prepared>),
    /// Pictures as a camera gives them, which are resized first.
    Read(Vec<Picture>),
}

impl Pictures {
    /// The bundle's reference pictures.
    ///
    /// # Errors
    /// When a reference cannot be decoded.
    pub fn of_bundle(bundle: &Bundle) -> Result<Pictures> {
        let references = bundle.manifest.self_test.references.iter().take(PICTURES_LIMIT);
        let prepared = references.map(|reference| bundle.reference(reference)).collect::<Result<_>>()?;
        Ok(Pictures(Kind::References(prepared)))
    }

    /// The first 16 pictures of a folder.
    ///
    /// # Errors
    /// When the folder holds no picture, or a picture cannot be read or has not the bundle's colour.
    pub fn of_folder(folder: &Path, bundle: &Bundle) -> std::result::Result<Pictures, BenchError> {
        let paths = dataset::images(folder)?;
        if paths.is_empty() {
            return Err(BenchError::NoImage(folder.to_owned()));
        }
        let colour = bundle.manifest.input.colour;
        let read = |path: &PathBuf| {
            let picture = Picture::read(path)?;
            picture.expect_colour(colour, path).map(|()| picture)
        };
        Ok(Pictures(Kind::Read(paths.iter().take(PICTURES_LIMIT).map(read).collect::<Result<_>>()?)))
    }

    /// Scores the picture of a frame and gives the times of the stages.
    ///
    /// # Errors
    /// When the detector fails on the picture.
    pub fn score(&self, detector: &mut Detector, frame: usize) -> std::result::Result<Times, BenchError> {
        let scored = match &self.0 {
            Kind::References(pictures) => detector.scorer().score_prepared(&pictures[frame % pictures.len()]),
            Kind::Read(pictures) => detector.score(&pictures[frame % pictures.len()]),
        };
        Ok(scored.map_err(BenchError::Score)?.times)
    }

    /// The first stage alone: features of the picture of a frame.
    pub(super) fn extract(&self, extractor: &mut Extractor<'_>, frame: usize) -> std::result::Result<Features, BenchError> {
        let features = match &self.0 {
            Kind::References(pictures) => extractor.extract_prepared(&pictures[frame % pictures.len()]),
            Kind::Read(pictures) => extractor.extract(&pictures[frame % pictures.len()]),
        };
        features.map_err(BenchError::Extract)
    }
}
