//! The use of every image of a data set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use detector::dataset::Sample;
use detector::picture::Colour;
use detector::run::{Split, SplitImage, Use};
use detector::{Result, files};
use rayon::prelude::*;

use super::units::Units;

/// A data set with every image's use decided.
pub struct Selection {
    /// Good images for the memory bank and for fine-tuning.
    pub bank: Vec<PathBuf>,
    /// Good images that are held out for the threshold; none where [`Selection::leaves_out_folds`].
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
    /// The fold of each image of the memory bank.
    pub(super) folds: HashMap<PathBuf, usize>,
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
            let relative = self.relative(path);
            let (group, fold) = (self.groups.get(path).cloned(), self.folds.get(path).copied());
            Ok(SplitImage { path: relative, sha256: files::sha256_file(path)?, group, fold, r#use })
        };
        let images = self.uses().collect::<Vec<_>>().into_par_iter().map(image).collect::<Result<_>>()?;
        Ok(Split { images })
    }

    /// Whether the threshold comes from the images that are learned from, each scored by a detector without its fold.
    pub fn leaves_out_folds(&self) -> bool {
        self.calibration.is_empty()
    }

    /// The good images that the threshold comes from.
    pub fn for_threshold(&self) -> &[PathBuf] {
        if self.leaves_out_folds() { &self.bank } else { &self.calibration }
    }

    /// The fold of each image of [`Selection::bank`], in its order.
    pub fn folds(&self) -> Vec<usize> {
        self.bank.iter().map(|path| self.folds.get(path).copied().unwrap_or(0)).collect()
    }

    /// The path of an image relative to the data folder, where it lies in it.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Gives each of these images of the memory bank a fold: the folds in turn, and images of a group the same.
    pub(super) fn assign_folds(&mut self, images: Vec<PathBuf>, folds: usize) {
        let known = |path: &PathBuf| Some((self.groups.get(path)?.clone(), *self.folds.get(path)?));
        let of_groups: HashMap<String, usize> = self.bank.iter().filter_map(known).collect();
        let mut next = self.folds.len();
        for unit in Units::new(images, &self.groups).0 {
            let known = unit.iter().find_map(|path| of_groups.get(self.groups.get(path)?));
            let fold = known.copied().unwrap_or(next % folds);
            next += usize::from(known.is_none());
            self.folds.extend(unit.into_iter().map(|path| (path, fold)));
        }
    }

    pub(super) fn uses(&self) -> impl Iterator<Item = (&PathBuf, Use)> {
        let uses = self.bank.iter().map(|path| (path, Use::Bank));
        let uses = uses.chain(self.calibration.iter().map(|path| (path, Use::Calibration)));
        let uses = uses.chain(self.anomalous.iter().map(|sample| (&sample.path, Use::Anomalous)));
        uses.chain(self.set_aside.iter().map(|path| (path, Use::SetAside)))
    }
}
