//! The recipe: settings of a training, the TOML file of `apc-trainer train`. `configs/train/patchcore.toml` shows every default.

mod mode;
mod sections;

use std::path::Path;

use detector::map::Smoothing;
use detector::picture::Colour;
use detector::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Preprocess};
use detector::{Error, Result, files};
use serde::{Deserialize, Serialize};

pub use self::mode::Mode;
pub use self::sections::{BackboneChoice, Bank, Data, Defects, Draw, Examples, Finetune, Input, Score, Threshold};

/// Content of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The method of learning.
    pub mode: Mode,
    /// Seed of every random choice.
    #[serde(default)]
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Which images are used for what.
    #[serde(default)]
    pub data: Data,
    /// From file to network input.
    #[serde(default)]
    pub input: Input,
    /// The network and its weights.
    #[serde(default)]
    pub backbone: BackboneChoice,
    /// Batches of the modes that learn from anomalous samples.
    #[serde(default)]
    pub examples: Examples,
    /// Fine-tuning: mode `apc`, and `apc+` without pretrained weights.
    #[serde(default)]
    pub finetune: Finetune,
    /// The defect head: mode `apc+`.
    #[serde(default)]
    pub defects: Defects,
    /// The memory bank.
    #[serde(default)]
    pub bank: Bank,
    /// From patch distances to score and map.
    #[serde(default)]
    pub smoothing: Smoothing,
    /// What counts in the score.
    #[serde(default)]
    pub score: Score,
    /// The threshold.
    #[serde(default)]
    pub calibration: Threshold,
}

/// Folds of the good images, where no number of defect heads gives it.
const FOLDS: usize = 10;
/// Share of the good images that is held out where the features learn from good images too, if the recipe does not say.
pub const HELD_OUT: f64 = 0.15;

/// How the good images divide between learning and threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Folding {
    /// Number of folds. A defect head leaves one of them out.
    pub folds: usize,
    /// Share that is held out for the threshold; none where all images are learned from, and the images of each fold are scored by a
    /// detector that has learned from the other folds.
    pub held_out: Option<f64>,
}

fn auto() -> String {
    "auto".into()
}

impl Recipe {
    /// Reads a recipe; paths in it become relative to the working folder.
    ///
    /// # Errors
    /// With the line of an unknown key or a wrong type, or the name of a value out of bounds.
    pub fn read(path: &Path) -> Result<Recipe> {
        let mut recipe: Recipe = files::read_toml(path)?;
        recipe.validate().map_err(|error| Error::file(path, error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        recipe.data.root = recipe.data.root.map(|root| folder.join(root));
        let file = |weights: String| match weights.ends_with(".safetensors") {
            true => folder.join(weights).to_string_lossy().into_owned(),
            false => weights,
        };
        recipe.backbone.weights = recipe.backbone.weights.map(file);
        Ok(recipe)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        self.bank.validate()?;
        self.calibration.validate()?;
        self.finetune.validate()?;
        self.examples.validate()?;
        self.defects.validate()?;
        let samples = self.data.anomalous_samples;
        match self.mode {
            Mode::Apc if samples == 0 => {
                return Err(Error::invalid(
                    "mode \"apc\" learns from anomalous samples: set data.anomalous_samples, 10 for instance",
                ));
            }
            Mode::ApcPlus if samples == 0 && self.examples.simulated == 0.0 => {
                return Err(Error::invalid(
                    "mode \"apc+\" learns from anomalous samples or simulated ones: set data.anomalous_samples, 10 for instance, or \
                     examples.simulated",
                ));
            }
            Mode::PatchCore | Mode::Apc | Mode::ApcPlus => {}
        }
        self.smoothing.validate()?;
        self.preprocess(Colour::Rgb).validate()
    }

    /// How the good images divide between learning and threshold. A detector can leave a fold out where only bank and heads learn from good
    /// images; a backbone that is trained has learned from all of them. A single head leaves out every second image and has learned from
    /// the others.
    pub fn folding(&self) -> Folding {
        let (folds, leaves_out) = match self.mode {
            Mode::PatchCore => (FOLDS, true),
            Mode::Apc => (FOLDS, false),
            Mode::ApcPlus => (self.defects.folds(), self.defects.heads > 1 && self.backbone.weights.is_some()),
        };
        let held_out = self.data.calibration_share.or(if leaves_out { None } else { Some(HELD_OUT) });
        Folding { folds, held_out }
    }

    /// The preparation of every picture of this product, from file to network input.
    pub fn preprocess(&self, colour: Colour) -> Preprocess {
        let Input { size, resize, crop } = self.input;
        Preprocess { colour, region: None, size, resize, crop, mean: IMAGENET_MEAN, std: IMAGENET_STD }
    }
}

#[cfg(test)]
mod tests;
