//! Which images are used for what, and how they reach the network.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use detector::dataset::{Dataset, Layout, Sample};
use detector::picture::{self, Colour, Picture};
use detector::preprocess::{Prepared, Preprocess};
use detector::run::{Split, SplitImage, Use};
use detector::{Error, Result, files};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::recipe::Data;

/// Fewest good images that fill a bank.
const FEWEST: usize = 2;

/// A data set with every image's use decided.
pub struct Selection {
    /// Good images for the memory bank and for fine-tuning.
    pub bank: Vec<PathBuf>,
    /// Good images for the threshold.
    pub calibration: Vec<PathBuf>,
    /// Anomalous samples, out of the test set.
    pub anomalous: Vec<Sample>,
    /// Test images; nothing is learned from them.
    pub test: Vec<Sample>,
    /// Colour of the first image; all others must have it too.
    pub colour: Colour,
    root: PathBuf,
}

impl Selection {
    /// Draws the split of a data set; the same seed gives the same split.
    ///
    /// # Errors
    /// When there are too few images of a kind.
    pub fn draw(data: &Dataset, choice: &Data, seed: u64) -> Result<Selection> {
        let root = &data.root;
        let mut good = data.train.clone();
        if good.is_empty() {
            return Err(Error::file(root, "has no good images to train on: train/good (or good) is missing or empty"));
        }
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        good.shuffle(&mut random);
        if data.layout == Layout::Flat {
            let left = (good.len() as f64 * choice.test_share).round() as usize;
            good.truncate(good.len() - left);
        }
        let held_out = (good.len() as f64 * choice.calibration_share).round() as usize;
        let held_out = held_out.max(detector::calibration::FEWEST);
        if good.len() < held_out + FEWEST {
            let (found, needed) = (good.len(), held_out + FEWEST);
            let problem =
                format!("has {found} good images to train on; at least {needed} are needed ({held_out} for the threshold)");
            return Err(Error::file(root, problem));
        }
        let mut calibration = good.split_off(good.len() - held_out);
        // An order that does not depend on the draw makes descriptors, and so the bank, easy to compare between runs.
        good.sort();
        calibration.sort();
        let mut anomalous: Vec<Sample> = data.test.iter().filter(|sample| sample.is_anomalous()).cloned().collect();
        anomalous.sort_by(|a, b| a.path.cmp(&b.path));
        if anomalous.len() < choice.anomalous_samples {
            let (found, wanted) = (anomalous.len(), choice.anomalous_samples);
            let problem = format!("has {found} anomalous images; data.anomalous_samples asks for {wanted}");
            return Err(Error::file(root, problem));
        }
        anomalous.shuffle(&mut random);
        anomalous.truncate(choice.anomalous_samples);
        let used = |sample: &Sample| {
            let trained = data.layout == Layout::Flat && (good.contains(&sample.path) || calibration.contains(&sample.path));
            trained || anomalous.contains(sample)
        };
        let test = data.test.iter().filter(|sample| !used(sample)).cloned().collect();
        let colour = Picture::read(&good[0])?.colour;
        Ok(Selection { bank: good, calibration, anomalous, test, colour, root: root.clone() })
    }

    /// Every image that is used, with its hash.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn split(&self) -> Result<Split> {
        let uses = self.bank.iter().map(|path| (path, Use::Bank));
        let uses = uses.chain(self.calibration.iter().map(|path| (path, Use::Calibration)));
        let uses = uses.chain(self.anomalous.iter().map(|sample| (&sample.path, Use::Anomalous)));
        let image = |(path, r#use): (&PathBuf, Use)| {
            let relative = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned();
            Ok(SplitImage { path: relative, sha256: files::sha256_file(path)?, group: None, r#use })
        };
        let images = uses.collect::<Vec<_>>().into_par_iter().map(image).collect::<Result<_>>()?;
        Ok(Split { images })
    }
}

/// Reads an image and brings it to the network's size.
///
/// # Errors
/// When it cannot be read or has another colour than the product.
pub fn prepare(path: &Path, rule: &Preprocess) -> Result<Prepared> {
    let picture = Picture::read(path)?;
    picture.expect_colour(rule.colour, path)?;
    rule.prepare(&picture.pixels).map_err(|error| Error::file(path, error.to_string()))
}

/// The mask of a sample in the network's geometry; none where there is no mask.
///
/// # Errors
/// When it cannot be read or is not of the image's size.
pub fn prepare_mask(sample: &Sample, rule: &Preprocess) -> Result<Option<Vec<bool>>> {
    let Some(path) = &sample.mask else { return Ok(None) };
    let mask = picture::read_mask(path)?;
    let picture = Picture::read(&sample.path)?.pixels;
    if mask.dimensions() != picture.dimensions() {
        let ((mask_width, mask_height), (width, height)) = (mask.dimensions(), picture.dimensions());
        let problem =
            format!("is {mask_width}x{mask_height} px; a mask of {width}x{height} px was expected, the size of its image");
        return Err(Error::file(path, problem));
    }
    rule.prepare_mask(&mask).map(Some)
}

/// Makes `make(0) ... make(count - 1)` on a thread of its own, at most two ahead, and hands them to `take` in order: loading runs
/// beside training. Ends early when `take` fails.
///
/// # Errors
/// The first error of either side.
pub fn ahead<T: Send, E: From<Error>>(
    count: std::ops::Range<usize>,
    make: impl Fn(usize) -> Result<T> + Send,
    mut take: impl FnMut(usize, T) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(2);
        scope.spawn(move || {
            for index in count {
                let made = make(index);
                let failed = made.is_err();
                // A closed channel means that the other side has ended.
                if sender.send((index, made)).is_err() || failed {
                    return;
                }
            }
        });
        for (index, made) in receiver {
            take(index, made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(layout: Layout, good: usize, anomalous: usize) -> (tempfile::TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        let picture = image::GrayImage::new(4, 4);
        let make = |name: String| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save(&path).unwrap();
        };
        let (train, defect) = if layout == Layout::Flat { ("good", "anomalous") } else { ("train/good", "test/dent") };
        (0..good).for_each(|i| make(format!("{train}/{i:02}.png")));
        (0..anomalous).for_each(|i| make(format!("{defect}/{i:02}.png")));
        let data = Dataset::open(folder.path()).unwrap();
        (folder, data)
    }

    #[test]
    fn uses_are_disjoint_and_repeatable() {
        for layout in [Layout::Mvtec, Layout::Flat] {
            let (_keep, data) = dataset(layout, 40, 12);
            let choice = Data { anomalous_samples: 5, ..Data::default() };
            let selection = Selection::draw(&data, &choice, 3).unwrap();
            let again = Selection::draw(&data, &choice, 3).unwrap();
            assert_eq!((&selection.bank, &selection.anomalous), (&again.bank, &again.anomalous));
            assert_ne!(Selection::draw(&data, &choice, 4).unwrap().anomalous, selection.anomalous);
            let good_left = selection.test.iter().filter(|sample| !sample.is_anomalous()).count();
            assert_eq!(selection.test.len() - good_left, 7);
            assert_eq!(selection.bank.len() + selection.calibration.len() + good_left, 40);
            assert_eq!(good_left, if layout == Layout::Flat { 8 } else { 0 });
            assert!(selection.bank.iter().all(|path| !selection.calibration.contains(path)));
            assert_eq!(selection.split().unwrap().images.len(), 45 - good_left);
        }
    }

    #[test]
    fn too_few_images_are_counted() {
        let (_keep, data) = dataset(Layout::Mvtec, 5, 2);
        let error = Selection::draw(&data, &Data::default(), 0).err().unwrap().to_string();
        assert!(error.contains("5 good images"), "{error}");
        let (_keep, data) = dataset(Layout::Mvtec, 20, 2);
        let choice = Data { anomalous_samples: 3, ..Data::default() };
        assert!(Selection::draw(&data, &choice, 0).err().unwrap().to_string().contains("2 anomalous"));
    }

    #[test]
    fn work_ahead_keeps_order_and_reports_errors() {
        let mut taken = Vec::new();
        ahead(
            0..20,
            |i| Ok(i * i),
            |i, square| {
                taken.push((i, square));
                Ok::<_, Error>(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..20).map(|i| (i, i * i)).collect::<Vec<_>>());
        let failing = |i| if i == 3 { Err(Error::invalid("three")) } else { Ok(i) };
        assert!(ahead(0..20, failing, |_, _| Ok::<_, Error>(())).unwrap_err().to_string().contains("three"));
        assert!(ahead(0..20, Ok, |i, _| if i == 1 { Err(Error::invalid("taker")) } else { Ok(()) }).is_err());
    }
}
