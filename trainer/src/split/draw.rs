//! The selection of a first training, drawn at random.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use detector::dataset::{Dataset, Layout, Sample};
use detector::picture::Picture;
use detector::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::groups::{GROUPS, read_groups};
use super::repeated::repeated;
use super::selection::Selection;
use super::units::Units;
use crate::recipe::{Data, Draw, Folding};

/// Fewest good images for the memory bank.
const FEWEST: usize = 2;

impl Selection {
    /// Draws the split of a data set; the same seed gives the same split.
    ///
    /// # Errors
    /// When there are too few images of a kind, or `groups.csv` is unsound.
    pub fn draw(data: &Dataset, choice: &Data, folding: Folding, seed: u64) -> Result<Selection> {
        let root = &data.root;
        if data.train.is_empty() {
            return Err(Error::file(root, "has no good images to train on: train/good (or good) is missing or empty"));
        }
        let groups = read_groups(root)?;
        let tests = data.test.iter().map(|sample| &sample.path);
        let repeated = repeated(data.train.iter().chain(tests));
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let unique = data.train.iter().filter(|path| !repeated.contains(*path)).cloned().collect();
        let Good { bank, calibration, tested } = divide(Units::new(unique, &groups), data, (choice, folding), &mut random)?;

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
            // In the flat layout the data set lists a good image for training and for the test; `tested` holds those for the test.
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
        let (root, folds, images) = (root.clone(), HashMap::new(), bank.clone());
        let mut selection = Selection { bank, calibration, anomalous, set_aside, test, colour, root, folds, groups };
        selection.assign_folds(images, folding.folds);
        Ok(selection)
    }
}

/// Good images by their use.
struct Good {
    /// For the memory bank.
    bank: Vec<PathBuf>,
    /// For the threshold.
    calibration: Vec<PathBuf>,
    /// Left for the test; in the flat layout only.
    tested: HashSet<PathBuf>,
}

/// Divides the good images at random.
fn divide(
    mut units: Units,
    data: &Dataset,
    (choice, folding): (&Data, Folding),
    random: &mut rand_chacha::ChaCha8Rng,
) -> Result<Good> {
    units.0.shuffle(random);
    let count = units.len();
    let left = if data.layout == Layout::Flat { (count as f64 * choice.test_share).round() as usize } else { 0 };
    let tested: HashSet<PathBuf> = units.take(left).into_iter().collect();
    let least = detector::calibration::FEWEST;
    let held_out = folding.held_out.map_or(0, |share| ((units.len() as f64 * share).round() as usize).max(least));
    let needed = if held_out == 0 { least.max(folding.folds) } else { held_out + FEWEST };
    if units.len() < needed {
        let found = units.len();
        let problem =
            format!("has {found} good images to train on; at least {needed} are needed ({held_out} held out for the threshold)");
        return Err(Error::file(&data.root, problem));
    }
    if held_out == 0 && units.0.len() < folding.folds {
        let (found, needed) = (units.0.len(), folding.folds);
        let problem =
            format!("names {found} groups and images of no group to learn from; at least {needed} are needed for the threshold");
        return Err(Error::file(data.root.join(GROUPS), problem));
    }
    let calibration = units.take(held_out);
    let bank = units.all();
    if bank.len() < FEWEST {
        let problem = "leaves no good images for the memory bank: its groups are too large";
        return Err(Error::file(data.root.join(GROUPS), problem));
    }
    Ok(Good { bank, calibration, tested })
}

/// Draws anomalous samples from the candidates, as the recipe wants.
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
        // The i-th sample of every type comes before the (i + 1)-th of any type.
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
