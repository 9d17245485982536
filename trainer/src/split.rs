//! Which images are used for what: learned from, calibrated on, tested on, or set aside.
//!
//! Images that belong together (one part, one session: `groups.csv`) never stand on two sides, and no picture is used twice, whatever
//! its file is called: otherwise a test would ask what training has already seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use detector::dataset::{Dataset, Layout, Sample};
use detector::picture::{Colour, Picture};
use detector::run::{Split, SplitImage, Use};
use detector::{Error, Result, files};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::recipe::{Data, Draw};

/// Fewest good images that fill a bank.
const FEWEST: usize = 2;
/// Which images belong together: lines `path,group` after a header, paths relative to the data folder.
const GROUPS: &str = "groups.csv";
/// Largest such file.
const GROUPS_LIMIT: u64 = 64 << 20;

/// A data set with every image's use decided.
pub struct Selection {
    /// Good images for the memory bank and for fine-tuning.
    pub bank: Vec<PathBuf>,
    /// Good images for the threshold.
    pub calibration: Vec<PathBuf>,
    /// Anomalous samples, out of the test set.
    pub anomalous: Vec<Sample>,
    /// Neither learned from nor tested on: repeated pictures, the rest of a group that is learned from, known defect types.
    pub set_aside: Vec<PathBuf>,
    /// Test images; nothing is learned from them.
    pub test: Vec<Sample>,
    /// Colour of the first image; all others must have it too.
    pub colour: Colour,
    root: PathBuf,
    groups: HashMap<PathBuf, String>,
}

impl Selection {
    /// Draws the split of a data set; the same seed gives the same split.
    ///
    /// # Errors
    /// When there are too few images of a kind, or `groups.csv` is unsound.
    pub fn draw(data: &Dataset, choice: &Data, seed: u64) -> Result<Selection> {
        let root = &data.root;
        if data.train.is_empty() {
            return Err(Error::file(root, "has no good images to train on: train/good (or good) is missing or empty"));
        }
        let groups = read_groups(root)?;
        let repeated = repeated(data);
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let unique = data.train.iter().filter(|path| !repeated.contains(*path)).cloned().collect();
        let mut units = Units::new(unique, &groups);
        units.0.shuffle(&mut random);
        let count = units.len();
        let left = if data.layout == Layout::Flat { (count as f64 * choice.test_share).round() as usize } else { 0 };
        let tested: HashSet<PathBuf> = units.take(left).into_iter().collect();
        let held_out = (units.len() as f64 * choice.calibration_share).round() as usize;
        let held_out = held_out.max(detector::calibration::FEWEST);
        if units.len() < held_out + FEWEST {
            let (found, needed) = (units.len(), held_out + FEWEST);
            let problem =
                format!("has {found} good images to train on; at least {needed} are needed ({held_out} for the threshold)");
            return Err(Error::file(root, problem));
        }
        let calibration = units.take(held_out);
        let bank = units.all();
        if bank.len() < FEWEST {
            return Err(Error::file(root.join(GROUPS), "leaves no good images for the memory bank: its groups are too large"));
        }

        let candidates = data.test.iter().filter(|sample| sample.is_anomalous() && !repeated.contains(&sample.path));
        let mut anomalous = draw_anomalous(candidates.cloned().collect(), choice, root, &mut random)?;
        if !choice.masks {
            anomalous.iter_mut().for_each(|sample| sample.mask = None);
        }
        let used: HashSet<&Path> =
            bank.iter().chain(&calibration).chain(anomalous.iter().map(|sample| &sample.path)).map(PathBuf::as_path).collect();
        let used_groups: HashSet<&String> = used.iter().filter_map(|path| groups.get(*path)).collect();
        let (mut test, mut set_aside) = (Vec::new(), Vec::new());
        for sample in data.test.iter().filter(|sample| !used.contains(sample.path.as_path())) {
            let known = sample.defect.as_ref().is_some_and(|defect| choice.learned_types.contains(defect));
            let grouped = groups.get(&sample.path).is_some_and(|group| used_groups.contains(group));
            // In the flat layout a good image is in both lists; what was not left for the test has been decided above.
            let decided = data.layout == Layout::Flat && !sample.is_anomalous() && !tested.contains(&sample.path);
            if known || grouped || decided || repeated.contains(&sample.path) {
                set_aside.push(sample.path.clone());
            } else {
                test.push(sample.clone());
            }
        }
        set_aside.extend(data.train.iter().filter(|path| repeated.contains(*path)).cloned());
        set_aside.sort();
        set_aside.dedup();
        let colour = Picture::read(&bank[0])?.colour;
        Ok(Selection { bank, calibration, anomalous, set_aside, test, colour, root: root.clone(), groups })
    }

    /// A run's split and what was added to its images: good ones go to the bank and, by the same share, to the threshold; all anomalous
    /// ones are learned from. Files that the run knows already are passed over. The second value are the new images of the bank.
    ///
    /// # Errors
    /// When an image of the run is no longer there, or nothing new was added.
    pub fn extended(old: &Split, data: &Dataset, added: &Dataset, choice: &Data, seed: u64) -> Result<(Selection, Vec<PathBuf>)> {
        let root = &data.root;
        let (mut uses, mut anomalous, mut groups) = (HashMap::<Use, Vec<PathBuf>>::new(), Vec::new(), HashMap::new());
        for image in &old.images {
            let path = root.join(&image.path);
            if !path.is_file() {
                let problem = "an image of the run is no longer there: name the folder of its images with --data";
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
                r#use => uses.entry(r#use).or_default().push(path),
            }
        }
        let known: HashSet<&str> = old.images.iter().map(|image| image.sha256.as_str()).collect();
        let repeated = repeated(added);
        let is_new = |path: &PathBuf| Ok(!repeated.contains(path) && !known.contains(files::sha256_file(path)?.as_str()));
        let mut good = Vec::new();
        for path in &added.train {
            if is_new(path)? {
                good.push(path.clone());
            }
        }
        let before = anomalous.len();
        for sample in added.test.iter().filter(|sample| sample.is_anomalous()) {
            if is_new(&sample.path)? {
                anomalous.push(sample.clone());
            }
        }
        if good.is_empty() && anomalous.len() == before {
            return Err(Error::file(&added.root, "holds no image that the run does not know already"));
        }
        if !choice.masks {
            anomalous.iter_mut().for_each(|sample| sample.mask = None);
        }
        groups.extend(read_groups(&added.root)?);
        let held_out = (good.len() as f64 * choice.calibration_share).round() as usize;
        let mut units = Units::new(good, &groups);
        units.0.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        let mut take = |r#use| uses.remove(&r#use).unwrap_or_default();
        let (mut bank, mut calibration, set_aside) = (take(Use::Bank), take(Use::Calibration), take(Use::SetAside));
        calibration.extend(units.take(held_out));
        let new = units.all();
        bank.extend(new.iter().cloned());
        let learned: HashSet<&Path> = bank.iter().chain(&calibration).chain(&set_aside).map(PathBuf::as_path).collect();
        let learned_from = |sample: &Sample| anomalous.iter().any(|known| known.path == sample.path);
        let unseen = |sample: &&Sample| !learned.contains(sample.path.as_path()) && !learned_from(sample);
        let test = data.test.iter().filter(unseen).cloned().collect();
        let colour = Picture::read(&bank[0])?.colour;
        Ok((Selection { bank, calibration, anomalous, set_aside, test, colour, root: root.clone(), groups }, new))
    }

    /// Every image that must not be evaluated on, with its hash.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn split(&self) -> Result<Split> {
        let uses = self.bank.iter().map(|path| (path, Use::Bank));
        let uses = uses.chain(self.calibration.iter().map(|path| (path, Use::Calibration)));
        let uses = uses.chain(self.anomalous.iter().map(|sample| (&sample.path, Use::Anomalous)));
        let uses = uses.chain(self.set_aside.iter().map(|path| (path, Use::SetAside)));
        let image = |(path, r#use): (&PathBuf, Use)| {
            let relative = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned();
            Ok(SplitImage { path: relative, sha256: files::sha256_file(path)?, group: self.groups.get(path).cloned(), r#use })
        };
        let images = uses.collect::<Vec<_>>().into_par_iter().map(image).collect::<Result<_>>()?;
        Ok(Split { images })
    }
}

/// Images that stay together, in an order that shuffling decides.
struct Units(Vec<Vec<PathBuf>>);

impl Units {
    fn new(images: Vec<PathBuf>, groups: &HashMap<PathBuf, String>) -> Units {
        let mut units: Vec<Vec<PathBuf>> = Vec::new();
        let mut of_group: HashMap<&String, usize> = HashMap::new();
        for image in images {
            match groups.get(&image) {
                None => units.push(vec![image]),
                Some(group) => {
                    let index = *of_group.entry(group).or_insert(units.len());
                    if index == units.len() {
                        units.push(Vec::new());
                    }
                    units[index].push(image);
                }
            }
        }
        Units(units)
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// At least `count` images from the end, sorted: an order that does not depend on the draw makes runs easy to compare.
    fn take(&mut self, count: usize) -> Vec<PathBuf> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(unit) = self.0.pop() else { break };
            taken.extend(unit);
        }
        taken.sort();
        taken
    }

    fn all(self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self.0.into_iter().flatten().collect();
        all.sort();
        all
    }
}

fn draw_anomalous(
    mut candidates: Vec<Sample>,
    choice: &Data,
    root: &Path,
    random: &mut rand_chacha::ChaCha8Rng,
) -> Result<Vec<Sample>> {
    if let Some(unknown) =
        choice.learned_types.iter().find(|wanted| !candidates.iter().any(|sample| sample.defect.as_ref() == Some(wanted)))
    {
        return Err(Error::file(root, format!("has no anomalous images of the type {unknown:?} that data.learned_types names")));
    }
    candidates.retain(|sample| {
        choice.learned_types.is_empty() || sample.defect.as_ref().is_some_and(|defect| choice.learned_types.contains(defect))
    });
    let wanted = choice.anomalous_samples;
    if candidates.len() < wanted {
        let found = candidates.len();
        return Err(Error::file(root, format!("has {found} anomalous images; data.anomalous_samples asks for {wanted}")));
    }
    candidates.sort_by(|a, b| a.path.cmp(&b.path));
    candidates.shuffle(random);
    if choice.draw == Draw::Stratified {
        // The i-th of every type comes before the (i + 1)-th of any.
        let mut seen: BTreeMap<Option<String>, usize> = BTreeMap::new();
        let rank = |sample: &Sample| {
            let count = seen.entry(sample.defect.clone()).or_default();
            *count += 1;
            *count
        };
        let ranks: Vec<usize> = candidates.iter().map(rank).collect();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|i| ranks[*i]);
        candidates = order.into_iter().map(|i| candidates[i].clone()).collect();
    }
    candidates.truncate(wanted);
    Ok(candidates)
}

/// Images whose pixels an earlier one has already, good training images first. An unreadable image repeats nothing: whoever needs it
/// will say what is wrong with it.
fn repeated(data: &Dataset) -> HashSet<PathBuf> {
    let fingerprint = |path: &PathBuf| {
        let picture = Picture::read(path).ok()?;
        let mut bytes = picture.pixels.into_raw();
        bytes.extend(picture.colour.to_string().bytes());
        Some(files::sha256(&bytes))
    };
    let test = data.test.iter().map(|sample| &sample.path);
    let mut listed = HashSet::new();
    let paths: Vec<&PathBuf> = data.train.iter().chain(test).filter(|path| listed.insert(*path)).collect();
    let prints: Vec<Option<String>> = paths.par_iter().map(|path| fingerprint(path)).collect();
    let mut first = HashMap::new();
    let mut repeated = HashSet::new();
    for (path, print) in paths.into_iter().zip(prints) {
        let Some(print) = print else { continue };
        if let Some(earlier) = first.get(&print) {
            let earlier: &PathBuf = earlier;
            log::warn!("{}: shows the same pixels as {}; it is set aside", path.display(), earlier.display());
            repeated.insert(path.clone());
        } else {
            first.insert(print, path.clone());
        }
    }
    repeated
}

/// Groups by path; none where there is no such file.
fn read_groups(root: &Path) -> Result<HashMap<PathBuf, String>> {
    let path = root.join(GROUPS);
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let bytes = files::read_bounded(&path, GROUPS_LIMIT)?;
    let refuse = |problem: String| Error::file(&path, problem);
    let mut records = records(&bytes).map_err(refuse)?.into_iter();
    if records.next().is_none_or(|(_, header)| header != ["path", "group"]) {
        return Err(refuse("does not begin with the line \"path,group\"".into()));
    }
    let mut groups = HashMap::new();
    for (line, [image, group]) in records {
        let file = root.join(&image);
        if !file.is_file() {
            return Err(refuse(format!("line {line}: there is no image {}", file.display())));
        }
        if groups.insert(file, group.clone()).is_some_and(|earlier| earlier != group) {
            return Err(refuse(format!("line {line}: {image} is in two groups")));
        }
    }
    Ok(groups)
}

/// Records of a comma-separated file (RFC 4180) with two fields each, and the lines they end on.
fn records(bytes: &[u8]) -> std::result::Result<Vec<(u64, [String; 2])>, String> {
    let mut reader = csv_core::Reader::new();
    let (mut output, mut ends) = (vec![0; bytes.len()], [0; 4]);
    let (mut records, mut rest) = (Vec::new(), bytes);
    loop {
        let line = reader.line();
        let (result, read, _, fields) = reader.read_record(rest, &mut output, &mut ends);
        rest = &rest[read..];
        match result {
            csv_core::ReadRecordResult::End => return Ok(records),
            // All input is there: running out of it means that its end has to be told.
            csv_core::ReadRecordResult::InputEmpty => continue,
            csv_core::ReadRecordResult::Record if fields == 2 => {}
            _ => return Err(format!("line {line}: two fields were expected, path and group")),
        }
        let text = |from: usize, to: usize| String::from_utf8_lossy(&output[from..to]).trim().to_owned();
        records.push((line, [text(0, ends[0]), text(ends[0], ends[1])]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `good` training images and `defects` of each type, all different.
    fn dataset(layout: Layout, good: usize, defects: &[(&str, usize)]) -> (tempfile::TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        let mut number = 0u32;
        let mut make = |name: String| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            number += 1;
            image::RgbImage::from_pixel(4, 4, image::Rgb([number as u8, (number >> 8) as u8, 7])).save(path).unwrap();
        };
        let train = if layout == Layout::Flat { "good" } else { "train/good" };
        (0..good).for_each(|i| make(format!("{train}/{i:02}.png")));
        for (defect, count) in defects {
            let folder = if layout == Layout::Flat { "anomalous".into() } else { format!("test/{defect}") };
            (0..*count).for_each(|i| make(format!("{folder}/{i:02}.png")));
        }
        let data = Dataset::open(folder.path()).unwrap();
        (folder, data)
    }

    fn count(selection: &Selection, wanted: Use) -> usize {
        selection.split().unwrap().images.iter().filter(|image| image.r#use == wanted).count()
    }

    #[test]
    fn uses_are_disjoint_and_repeatable() {
        for layout in [Layout::Mvtec, Layout::Flat] {
            let (_keep, data) = dataset(layout, 40, &[("dent", 12)]);
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
            assert!(selection.set_aside.is_empty());
        }
    }

    #[test]
    fn too_few_images_are_counted() {
        let (_keep, data) = dataset(Layout::Mvtec, 5, &[("dent", 2)]);
        let error = Selection::draw(&data, &Data::default(), 0).err().unwrap().to_string();
        assert!(error.contains("5 good images"), "{error}");
        let (_keep, data) = dataset(Layout::Mvtec, 20, &[("dent", 2)]);
        let choice = Data { anomalous_samples: 3, ..Data::default() };
        assert!(Selection::draw(&data, &choice, 0).err().unwrap().to_string().contains("2 anomalous"));
    }

    #[test]
    fn groups_never_stand_on_two_sides() {
        let (folder, data) = dataset(Layout::Mvtec, 40, &[("dent", 12), ("good", 4)]);
        let mut text = "path,group\n".to_string();
        (0..40).for_each(|i| text += &format!("train/good/{i:02}.png, part {}\n", i / 4));
        (0..12).for_each(|i| text += &format!("test/dent/{i:02}.png,dented {}\n", i / 3));
        text += "test/good/00.png,part 0\n";
        std::fs::write(folder.path().join(GROUPS), text).unwrap();
        let choice = Data { anomalous_samples: 4, ..Data::default() };
        for seed in 0..6 {
            let selection = Selection::draw(&data, &choice, seed).unwrap();
            let group = |path: &PathBuf| selection.groups.get(path).cloned();
            let bank: HashSet<_> = selection.bank.iter().map(group).collect();
            assert!(selection.calibration.iter().all(|path| !bank.contains(&group(path))));
            let learned: HashSet<_> = selection.anomalous.iter().map(|sample| group(&sample.path)).collect();
            assert!(selection.test.iter().all(|sample| sample.defect.is_none() || !learned.contains(&group(&sample.path))));
            assert!(!selection.test.iter().any(|sample| sample.path.ends_with("good/00.png")), "its part was learned from");
            assert_eq!(selection.calibration.len(), 8, "whole groups of four, at least 15 % of 40");
        }
        for (wrong, word) in
            [("path,part\n", "path,group"), ("path,group\nnone.png,1\n", "line 2"), ("path,group\na\n", "fields")]
        {
            std::fs::write(folder.path().join(GROUPS), wrong).unwrap();
            let error = Selection::draw(&data, &choice, 0).err().unwrap().to_string();
            assert!(error.contains(word) && error.contains(GROUPS), "{error}");
        }
    }

    #[test]
    fn no_picture_is_used_twice() {
        let (folder, data) = dataset(Layout::Mvtec, 20, &[("dent", 6)]);
        // The same pixels in another file format, in training and in test.
        let picture = image::open(folder.path().join("train/good/03.png")).unwrap();
        picture.save(folder.path().join("train/good/copy.bmp")).unwrap();
        std::fs::create_dir_all(folder.path().join("test/good")).unwrap();
        picture.save(folder.path().join("test/good/copy.png")).unwrap();
        let more = Dataset::open(folder.path()).unwrap();
        assert_eq!(more.train.len(), data.train.len() + 1);
        let selection = Selection::draw(&more, &Data::default(), 0).unwrap();
        assert_eq!(selection.bank.len() + selection.calibration.len(), 20);
        assert!(selection.test.iter().all(|sample| sample.is_anomalous()));
        assert_eq!(count(&selection, Use::SetAside), 2);
    }

    #[test]
    fn known_types_are_not_tested_and_a_stratified_draw_takes_all() {
        let (_keep, data) = dataset(Layout::Mvtec, 20, &[("dent", 9), ("crack", 3), ("stain", 9)]);
        let hard = Data { anomalous_samples: 4, learned_types: vec!["dent".into()], ..Data::default() };
        let selection = Selection::draw(&data, &hard, 1).unwrap();
        assert!(selection.anomalous.iter().all(|sample| sample.defect.as_deref() == Some("dent")));
        assert!(selection.test.iter().all(|sample| sample.defect.as_deref() != Some("dent")));
        assert_eq!((selection.test.len(), count(&selection, Use::SetAside)), (12, 5));
        let unknown = Data { learned_types: vec!["dust".into()], ..hard };
        assert!(Selection::draw(&data, &unknown, 1).err().unwrap().to_string().contains("dust"));
        let stratified = Data { anomalous_samples: 6, draw: Draw::Stratified, ..Data::default() };
        for seed in 0..5 {
            let selection = Selection::draw(&data, &stratified, seed).unwrap();
            for defect in ["dent", "crack", "stain"] {
                let drawn = selection.anomalous.iter().filter(|sample| sample.defect.as_deref() == Some(defect)).count();
                assert_eq!(drawn, 2, "{defect}");
            }
        }
    }
}
