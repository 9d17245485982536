//! The selection of an update: the images of an earlier run and the added images.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use detector::dataset::{Dataset, Sample};
use detector::picture::Picture;
use detector::run::{Split, Use};
use detector::{Error, Result, files};
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::groups::read_groups;
use super::repeated::repeated;
use super::selection::Selection;
use super::units::Units;
use crate::recipe::{Data, Folding};

impl Selection {
    /// The split `old` of a run with the images `added`. Good images go to the memory bank and, by the recipe's share, to the
    /// threshold; an image of a group that the run knows goes where the group is. All anomalous images are learned from; good test
    /// images are tested on. Pictures that the run knows already are left out. The second value lists the new images of the memory
    /// bank.
    ///
    /// # Errors
    /// When an image of the run is missing or has changed, nothing new was added, or a `groups.csv` is unsound.
    pub fn extended(
        old: &Split,
        data: &Dataset,
        added: &Dataset,
        (choice, folding): (&Data, Folding),
        seed: u64,
    ) -> Result<(Selection, Vec<PathBuf>)> {
        let mut selection = Selection::of_run(old, data, folding.folds)?;
        selection.groups.extend(read_groups(&added.root)?);
        let (anomalous, tested): (Vec<&Sample>, Vec<&Sample>) = added.test.iter().partition(|sample| sample.is_anomalous());
        let learned = added.train.iter().chain(paths(&anomalous));
        let tests: Vec<&Sample> = data.test.iter().collect();
        // Of files with the same pixels the first in this list is used: images of the run, images to learn from, images to test on.
        let repeated = repeated(selection.used().chain(learned).chain(paths(&tests)).chain(paths(&tested)));
        let known: HashSet<PathBuf> = selection.used().cloned().collect();
        let is_new = |path: &PathBuf| !known.contains(path) && !repeated.contains(path);

        let good: Vec<PathBuf> = added.train.iter().filter(|path| is_new(path)).cloned().collect();
        let anomalous: Vec<Sample> = anomalous.into_iter().filter(|sample| is_new(&sample.path)).cloned().collect();
        if good.is_empty() && anomalous.is_empty() {
            return Err(Error::file(&added.root, "holds no image to learn from that the run does not know already"));
        }
        selection.anomalous.extend(anomalous);
        if !choice.masks {
            selection.anomalous.iter_mut().for_each(|sample| sample.mask = None);
        }
        let new = selection.add_good(good, folding.held_out, seed);
        selection.assign_folds(new.clone(), folding.folds);
        let tests = tests.into_iter().chain(tested.into_iter().filter(|sample| is_new(&sample.path)));
        selection.leave_for_test(tests, &repeated);
        Ok((selection, new))
    }

    /// The images that a run has used. No image is selected for the test yet.
    fn of_run(old: &Split, data: &Dataset, folds: usize) -> Result<Selection> {
        let root = &data.root;
        let mut fold_of = HashMap::new();
        let (mut uses, mut anomalous, mut groups) = (HashMap::<Use, Vec<PathBuf>>::new(), Vec::new(), HashMap::new());
        for image in &old.images {
            let path = root.join(&image.path);
            if !path.is_file() {
                let problem = "is missing, and the run has used this image: name the folder of the run's images with --data";
                return Err(Error::file(path, problem));
            }
            // Repeated pictures are found by the pixels in the files now: they must be those that the run has used.
            if files::sha256_file(&path)? != image.sha256 {
                let problem = "has changed since the run used it: restore it, or name the folder of the run's images with --data";
                return Err(Error::file(path, problem));
            }
            if let Some(group) = &image.group {
                groups.insert(path.clone(), group.clone());
            }
            match image.r#use {
                Use::Anomalous => {
                    let unmasked = || Sample { path: path.clone(), defect: Some("anomalous".into()), mask: None };
                    anomalous.push(Dataset::sample_at(&path).unwrap_or_else(unmasked));
                }
                Use::Bank => {
                    // Before format 2 of runs, the folds were the images of the bank in turn.
                    fold_of.insert(path.clone(), image.fold.unwrap_or(fold_of.len() % folds));
                    uses.entry(Use::Bank).or_default().push(path);
                }
                r#use => uses.entry(r#use).or_default().push(path),
            }
        }
        groups.extend(read_groups(root)?);
        let mut take = |r#use| uses.remove(&r#use).unwrap_or_default();
        let (bank, calibration, set_aside) = (take(Use::Bank), take(Use::Calibration), take(Use::SetAside));
        let Some(first) = bank.first() else {
            return Err(Error::file(root, "the run's split.json names no image of its memory bank: train again"));
        };
        let colour = Picture::read(first)?.colour;
        let (root, test) = (root.clone(), Vec::new());
        Ok(Selection { bank, calibration, anomalous, set_aside, test, colour, root, folds: fold_of, groups })
    }

    /// Divides new good images between memory bank and threshold; returns the new images of the memory bank.
    fn add_good(&mut self, good: Vec<PathBuf>, held_out: Option<f64>, seed: u64) -> Vec<PathBuf> {
        let (of_bank, of_calibration) = (self.groups_of(&self.bank), self.groups_of(&self.calibration));
        let (mut new, good): (Vec<PathBuf>, _) = good.into_iter().partition(|path| self.is_of(path, &of_bank));
        let (as_their_group, good) = good.into_iter().partition(|path| self.is_of(path, &of_calibration));
        let mut units = Units::new(good, &self.groups);
        let wanted = (units.len() as f64 * held_out.unwrap_or(0.0)).round() as usize;
        units.0.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        self.calibration.extend::<Vec<PathBuf>>(as_their_group);
        self.calibration.extend(units.take(wanted));
        new.extend(units.all());
        self.bank.extend(new.iter().cloned());
        new
    }

    /// Selects images for the test. Repeated pictures are set aside, and so are images of a group that is learned from or calibrated
    /// on.
    fn leave_for_test<'a>(&mut self, tests: impl Iterator<Item = &'a Sample>, repeated: &HashSet<PathBuf>) {
        let mut decided: HashSet<PathBuf> = self.used().cloned().collect();
        let learned = self.bank.iter().chain(&self.calibration).chain(self.anomalous.iter().map(|sample| &sample.path));
        let groups = self.groups_of(learned);
        for sample in tests {
            if !decided.insert(sample.path.clone()) {
                continue;
            }
            if repeated.contains(&sample.path) || self.is_of(&sample.path, &groups) {
                self.set_aside.push(sample.path.clone());
            } else {
                self.test.push(sample.clone());
            }
        }
        self.set_aside.sort();
    }

    /// Every image that must not be tested on.
    fn used(&self) -> impl Iterator<Item = &PathBuf> {
        self.uses().map(|(path, _)| path)
    }

    fn groups_of<'a>(&self, images: impl IntoIterator<Item = &'a PathBuf>) -> HashSet<String> {
        images.into_iter().filter_map(|path| self.groups.get(path)).cloned().collect()
    }

    fn is_of(&self, image: &Path, groups: &HashSet<String>) -> bool {
        self.groups.get(image).is_some_and(|group| groups.contains(group))
    }
}

fn paths<'a>(samples: &[&'a Sample]) -> impl Iterator<Item = &'a PathBuf> {
    samples.iter().map(|sample| &sample.path)
}
