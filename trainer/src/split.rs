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
mod tests;
