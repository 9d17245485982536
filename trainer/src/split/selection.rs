//! The use of every image of a data set.

use std::collections::HashMap;
use std::path::PathBuf;

use detector::dataset::Sample;
use detector::picture::Colour;
use detector::run::{Split, SplitImage, Use};
use detector::{Result, files};
use rayon::prelude::*;

/// A data set with every image's use decided.
pub struct Selection {
    /// Good images for the memory bank and for fine-tuning.
    pub bank: Vec<PathBuf>,
    /// Good images for the threshold.
    pub calibration: Vec<PathBuf>,
    /// Anomalous samples, out of the test set.
    pub anomalous: Vec<Sample>,
    /// Neither learned from nor tested on: repeated pictures, other images of a group that is learned from, learned defect types.
    pub set_aside: Vec<PathBuf>,
    /// Test images; nothing is learned from them.
    pub test: Vec<Sample>,
    /// Colour of the first image; all others must have it too.
    pub colour: Colour,
    /// Folder of the data set.
    pub(super) root: PathBuf,
    /// The group of each image that has one.
    pub(super) groups: HashMap<PathBuf, String>,
}

impl Selection {
    /// The list of all images that must not be evaluated on, with their hashes; the run keeps it.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn split(&self) -> Result<Split> {
        let image = |(path, r#use): (&PathBuf, Use)| {
            let relative = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned();
            Ok(SplitImage { path: relative, sha256: files::sha256_file(path)?, group: self.groups.get(path).cloned(), r#use })
        };
        let images = self.uses().collect::<Vec<_>>().into_par_iter().map(image).collect::<Result<_>>()?;
        Ok(Split { images })
    }

    pub(super) fn uses(&self) -> impl Iterator<Item = (&PathBuf, Use)> {
        let uses = self.bank.iter().map(|path| (path, Use::Bank));
        let uses = uses.chain(self.calibration.iter().map(|path| (path, Use::Calibration)));
        let uses = uses.chain(self.anomalous.iter().map(|sample| (&sample.path, Use::Anomalous)));
        uses.chain(self.set_aside.iter().map(|path| (path, Use::SetAside)))
    }
}
