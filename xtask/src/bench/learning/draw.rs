//! Which anomalous samples are learned from: the same for every system.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::system::System;
use crate::files;

/// The end of the name of a draw without masks.
pub(super) const LABELS_ONLY: &str = ", labels only";

/// How anomalous samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(super) enum Split {
    /// Each image alike
    Random,
    /// Each defect type in turn
    Stratified,
    /// All from one type, another one for each seed; the other types are the test set
    Hard,
}

/// What the training knows of an anomalous sample.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(super) enum Truth {
    /// Where its defect is
    Masks,
    /// That it has one; masks serve the test only
    Labels,
}

/// Anomalous samples of one seed.
pub(super) struct Draw {
    /// The draw's name in a cell.
    pub label: String,
    /// The draw's name in the table: in the hard split, it leaves out the defect type, which changes with the seed.
    pub group: String,
    samples: usize,
    truth: Truth,
    settings: toml::Table,
}

impl Draw {
    pub fn new(split: Split, samples: usize, truth: Truth, (data, seed): (&Path, u64)) -> Result<Draw> {
        let mut taken = samples;
        let mut settings = toml::Table::new();
        let (mut label, mut group);
        match split {
            Split::Random => (label, group) = (format!("random {samples}"), format!("random {samples}")),
            Split::Stratified => {
                settings.insert("draw".into(), "stratified".into());
                (label, group) = (format!("stratified {samples}"), format!("stratified {samples}"));
            }
            Split::Hard => {
                let types = defect_types(data)?;
                if types.len() < 2 {
                    bail!("{}: --split hard needs two defect types or more, {} are there", data.display(), types.len());
                }
                let (name, images) = &types[seed as usize % types.len()];
                taken = samples.min(*images);
                settings.insert("learned_types".into(), vec![toml::Value::from(name.clone())].into());
                (label, group) = (format!("hard {name} {taken}"), format!("hard {samples}"));
            }
        }
        settings.insert("anomalous_samples".into(), toml::Value::Integer(taken as i64));
        if truth == Truth::Labels {
            settings.insert("masks".into(), false.into());
            label += LABELS_ONLY;
            group += LABELS_ONLY;
        }
        Ok(Draw { label, group, samples: taken, truth, settings })
    }

    /// Whether a system can learn from this draw.
    pub fn suits(&self, system: &System) -> bool {
        match system.mode() {
            // PatchCore looks at no mask: its cell with masks stands for both.
            "patchcore" => self.truth == Truth::Masks,
            "apc" => self.samples > 0,
            _ => true,
        }
    }

    /// A recipe with these samples, as TOML.
    pub fn applied_to(&self, recipe: &toml::Table) -> Result<String> {
        let mut recipe = recipe.clone();
        let data = recipe.entry("data").or_insert_with(|| toml::Table::new().into());
        data.as_table_mut().context("data is no section of the recipe")?.extend(self.settings.clone());
        Ok(recipe.to_string())
    }
}

/// The test set's defect types, sorted, and how many images each has.
pub(super) fn defect_types(data: &Path) -> Result<Vec<(String, usize)>> {
    let mut types = Vec::new();
    for folder in files::list(&data.join("test"))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != "good" && folder.is_dir() {
            types.push((name, files::list(&folder)?.len()));
        }
    }
    types.sort();
    Ok(types)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_hard_split_learns_another_type_with_each_seed() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, count) in [("good", 9), ("scratch", 3), ("dent", 12)] {
            fs::create_dir_all(folder.path().join("test").join(kind)).unwrap();
            (0..count).for_each(|i| fs::write(folder.path().join(format!("test/{kind}/{i}.png")), "").unwrap());
        }
        let draw = |split, truth, seed| Draw::new(split, 10, truth, (folder.path(), seed)).unwrap();
        let hard = [0, 1, 2].map(|seed| draw(Split::Hard, Truth::Masks, seed));
        assert_eq!(hard.each_ref().map(|draw| draw.label.as_str()), ["hard dent 10", "hard scratch 3", "hard dent 10"]);
        assert!(hard.iter().all(|draw| draw.group == "hard 10"));
        let recipe: toml::Table = "mode = \"apc\"\n[data]\nroot = \"x\"".parse().unwrap();
        let applied: toml::Table = draw(Split::Random, Truth::Labels, 0).applied_to(&recipe).unwrap().parse().unwrap();
        let data = applied["data"].as_table().unwrap();
        assert_eq!((data["root"].as_str(), data["anomalous_samples"].as_integer()), (Some("x"), Some(10)));
        assert_eq!(data["masks"].as_bool(), Some(false));
    }

    #[test]
    fn fine_tuning_needs_samples_and_patchcore_no_masks() {
        let system = |mode: &str| System { name: mode.into(), recipe: format!("mode = \"{mode}\"").parse().unwrap() };
        let suits = |samples, truth| {
            let draw = Draw::new(Split::Random, samples, truth, (Path::new(""), 0)).unwrap();
            ["patchcore", "apc", "apc+"].map(|mode| draw.suits(&system(mode)))
        };
        assert_eq!(suits(0, Truth::Masks), [true, false, true]);
        assert_eq!(suits(5, Truth::Labels), [false, true, true]);
    }
}
