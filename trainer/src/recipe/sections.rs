//! The sections of a recipe, with the defaults of their keys.

use std::path::PathBuf;

use detector::calibration::Place;
use detector::preprocess::{Resize, Size};
use detector::{Error, Result};
use serde::{Deserialize, Serialize};

/// Checks that the value of a key lies within bounds.
fn within(key: &str, value: f64, least: f64, most: f64) -> Result<()> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{key} is {value}; expected {least} to {most}"))),
    }
}

/// Which images are used for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Folder of the images; `--data` wins. Relative to the recipe.
    pub root: Option<PathBuf>,
    /// Name of the product; the folder's name when absent.
    pub name: Option<String>,
    /// Number of anomalous images that are drawn from the test set and taken out of it. Mode `patchcore` only sets them aside, so
    /// that all modes can be compared on the same remaining images.
    pub anomalous_samples: usize,
    /// How they are drawn.
    pub draw: Draw,
    /// Defect types to draw them from; all when empty. Only the other types are then tested on (the hard split): the figures show
    /// whether the detector finds defects of a type that it has not learned.
    pub learned_types: Vec<String>,
    /// Whether to learn from the masks of anomalous samples, where there are masks.
    pub masks: bool,
    /// Share of the good training images that is held out for the threshold. Without it nothing is held out where that is possible: each
    /// good image is scored by a detector that has not learned from it ([`Recipe::folding`](super::Recipe::folding)).
    pub calibration_share: Option<f64>,
    /// Flat layout only: share of the good images that is left for evaluation.
    pub test_share: f64,
}

impl Default for Data {
    fn default() -> Self {
        Data {
            root: None,
            name: None,
            anomalous_samples: 0,
            draw: Draw::Random,
            learned_types: Vec::new(),
            masks: true,
            calibration_share: None,
            test_share: 0.2,
        }
    }
}

impl Data {
    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        self.calibration_share.map_or(Ok(()), |share| within("data.calibration_share", share, 0.01, 0.9))?;
        within("data.test_share", self.test_share, 0.0, 0.9)
    }
}

/// How anomalous samples are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// Each image is as likely as any other.
    #[default]
    Random,
    /// Each defect type in turn.
    Stratified,
}

/// From file to network input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// `[height, width]` after resizing.
    pub size: Size,
    /// `stretch` or `letterbox`.
    pub resize: Resize,
    /// `[height, width]` of a centre crop; none when absent.
    pub crop: Option<Size>,
}

impl Default for Input {
    fn default() -> Self {
        Input { size: Size { height: 256, width: 256 }, resize: Resize::Stretch, crop: None }
    }
}

/// The network and the source of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackboneChoice {
    /// One of [`detector::network::Backbone::PRESETS`].
    pub name: String,
    /// Safetensors file, relative to the recipe, or the name of published weights; `--weights` wins. Without weights, modes `apc` and
    /// `apc+` learn from scratch; mode `patchcore` refuses.
    pub weights: Option<String>,
    /// Stages whose feature maps are used.
    pub layers: Vec<String>,
}

impl Default for BackboneChoice {
    fn default() -> Self {
        BackboneChoice { name: "resnet18".into(), weights: None, layers: vec!["layer2".into(), "layer3".into()] }
    }
}

/// Batches to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Examples {
    /// Images in a step, half of them good.
    pub batch: usize,
    /// Share of anomalous batch images that are a real defect pasted on a good image; needs masks.
    pub pasted: f64,
    /// Share of anomalous batch images that are a simulated defect on a good image.
    pub simulated: f64,
    /// Mirror images at random.
    pub flip: bool,
    /// Largest random rotation in degrees.
    pub rotation: f64,
}

impl Default for Examples {
    fn default() -> Self {
        Examples { batch: 8, pasted: 0.5, simulated: 0.0, flip: true, rotation: 10.0 }
    }
}

impl Examples {
    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        within("examples.batch", self.batch as f64, 2.0, 1024.0)?;
        within("examples.pasted", self.pasted, 0.0, 1.0)?;
        within("examples.simulated", self.simulated, 0.0, 1.0 - self.pasted)?;
        within("examples.rotation", self.rotation, 0.0, 180.0)
    }
}

/// Fine-tuning of the backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Finetune {
    /// Optimiser steps.
    pub steps: usize,
    /// Highest learning rate; it rises over the first tenth and falls to zero along a cosine.
    pub learning_rate: f64,
    /// Learning rate of the backbone relative to the heads'.
    pub backbone_rate: f64,
    /// Weight decay (AdamW).
    pub weight_decay: f64,
    /// Weight of the loss of classification: whether the image is anomalous.
    pub classification: f64,
    /// Weight of the loss of segmentation: which pixels are anomalous. Only images with a mask take part.
    pub segmentation: f64,
    /// Weight of the loss of reconstruction: the colours of the image.
    pub reconstruction: f64,
    /// Convolutions in bfloat16, which many GPUs compute faster; parameters, normalisations and losses stay in single precision.
    pub mixed_precision: bool,
    /// Steps between checkpoints.
    pub checkpoint: usize,
}

impl Default for Finetune {
    fn default() -> Self {
        Finetune {
            steps: 300,
            learning_rate: 1e-3,
            backbone_rate: 0.1,
            weight_decay: 1e-2,
            classification: 10.0,
            segmentation: 1.0,
            reconstruction: 1.0,
            mixed_precision: false,
            checkpoint: 50,
        }
    }
}

impl Finetune {
    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        within("finetune.steps", self.steps as f64, 1.0, 1e7)?;
        within("finetune.checkpoint", self.checkpoint as f64, 1.0, 1e7)?;
        within("finetune.learning_rate", self.learning_rate, 1e-9, 1.0)?;
        within("finetune.backbone_rate", self.backbone_rate, 0.0, 100.0)?;
        within("finetune.weight_decay", self.weight_decay, 0.0, 1.0)?;
        within("finetune.classification", self.classification, 0.0, 1e6)?;
        within("finetune.segmentation", self.segmentation, 0.0, 1e6)?;
        within("finetune.reconstruction", self.reconstruction, 0.0, 1e6)
    }
}

/// The defect head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defects {
    /// Number of heads; their mean logit counts. Each of n heads learns without every n-th image; the good ones then show how large
    /// its logits are on good images that it has not seen.
    pub heads: usize,
    /// Hidden units of one head.
    pub units: usize,
    /// Number of examples. They are made and described once, and the steps take them in turn.
    pub examples: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Highest learning rate; it rises over the first tenth and falls to zero along a cosine.
    pub learning_rate: f64,
    /// Weight decay (AdamW).
    pub weight_decay: f64,
    /// Weight of the loss per image (whether it is anomalous) relative to the loss per patch.
    pub image_loss: f64,
    /// Weight of the logits, in spreads: the spread of good images' largest distances over that of their largest logits is 1.
    pub weight: f64,
    /// A logit counts from the value below which all logits of this share of the good images stay, each image scored by the head that
    /// has not learned from it.
    pub start: f64,
    /// As `weight`, in the score map.
    pub map_weight: f64,
    /// As `start`, in the score map: a map may show what is not enough for a verdict.
    pub map_start: f64,
    /// Steps between checkpoints.
    pub checkpoint: usize,
}

impl Default for Defects {
    fn default() -> Self {
        Defects {
            heads: 10,
            units: 32,
            examples: 960,
            steps: 200,
            learning_rate: 2e-3,
            weight_decay: 1e-2,
            image_loss: 0.3,
            weight: 3.0,
            start: 0.9,
            map_weight: 2.0,
            map_start: 0.1,
            checkpoint: 50,
        }
    }
}

impl Defects {
    /// Number of folds of the good images: each head leaves one of them out. A single head leaves out the first of two.
    pub fn folds(&self) -> usize {
        self.heads.max(2)
    }

    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        within("defects.heads", self.heads as f64, 1.0, 16.0)?;
        within("defects.units", self.units as f64, 1.0, 256.0)?;
        within("defects.examples", self.examples as f64, 1.0, 1e5)?;
        within("defects.steps", self.steps as f64, 1.0, 1e7)?;
        within("defects.learning_rate", self.learning_rate, 1e-9, 1.0)?;
        within("defects.weight_decay", self.weight_decay, 0.0, 1.0)?;
        within("defects.image_loss", self.image_loss, 0.0, 1e6)?;
        within("defects.weight", self.weight, 0.0, 1e3)?;
        within("defects.start", self.start, 0.0, 1.0)?;
        within("defects.map_weight", self.map_weight, 0.0, 1e3)?;
        within("defects.map_start", self.map_start, 0.0, self.start)?;
        within("defects.checkpoint", self.checkpoint as f64, 1.0, 1e7)
    }
}

/// The memory bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bank {
    /// Share of all patches that is kept.
    pub share: f64,
    /// Number of patches that is kept, instead of a share.
    pub vectors: Option<usize>,
    /// Fewest patches that a share keeps, as far as there are so many.
    pub least: usize,
    /// Dimensions of the random projection in which patches are selected.
    pub projection: usize,
    /// Memory for projected patches in MiB; when they need more, they go through a file.
    pub memory_mib: usize,
}

impl Default for Bank {
    fn default() -> Self {
        Bank { share: 0.01, vectors: None, least: 1000, projection: 128, memory_mib: 2048 }
    }
}

impl Bank {
    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        within("bank.share", self.share, 1e-6, 1.0)?;
        within("bank.projection", self.projection as f64, 1.0, 4096.0)?;
        within("bank.memory_mib", self.memory_mib as f64, 16.0, 1e6)
    }
}

/// What counts in the score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Score {
    /// Whether what good images have at each place is taken off the score, where that makes defects stand out. The publication does not.
    pub places: bool,
}

/// The threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// Share of good parts that may be rejected.
    pub false_reject_rate: f64,
    /// What decides where the threshold lies: the rate, or the gap between good images and anomalous samples where they are clearly apart.
    pub place: Place,
}

impl Default for Threshold {
    fn default() -> Self {
        Threshold { false_reject_rate: 0.01, place: Place::Rate }
    }
}

impl Threshold {
    /// Checks the bounds of every number.
    pub(super) fn validate(&self) -> Result<()> {
        within("calibration.false_reject_rate", self.false_reject_rate, 1e-6, 0.5)
    }
}
