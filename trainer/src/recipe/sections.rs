//! The sections of a recipe, with the defaults of their keys.

use std::path::PathBuf;

use detector::preprocess::{Resize, Size};
use serde::{Deserialize, Serialize};

/// Which images are used for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Folder of the images; `--data` wins. Relative to the recipe.
    pub root: Option<PathBuf>,
    /// Name of the product; the folder's name when absent.
    pub name: Option<String>,
    /// Anomalous images drawn at random from the test set and taken out of it. PatchCore mode only sets them aside, so that both
    /// modes can be compared on the same remaining images.
    pub anomalous_samples: usize,
    /// How they are drawn.
    pub draw: Draw,
    /// Defect types to draw them from; all when empty. The others are what is then tested on: the hard split, which shows whether a
    /// detector knows only what it was taught.
    pub learned_types: Vec<String>,
    /// Whether to learn from the masks of anomalous samples, where they have some.
    pub masks: bool,
    /// Share of the good training images that is held out for the threshold.
    pub calibration_share: f64,
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
            calibration_share: 0.15,
            test_share: 0.2,
        }
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

/// Which network, and where its weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackboneChoice {
    /// One of [`detector::network::Backbone::PRESETS`].
    pub name: String,
    /// Safetensors file or the name of published weights; `--weights` wins. Relative to the recipe. Without any, APC mode learns from
    /// scratch and PatchCore mode refuses.
    pub weights: Option<String>,
    /// Stages whose feature maps are used.
    pub layers: Vec<String>,
}

impl Default for BackboneChoice {
    fn default() -> Self {
        BackboneChoice { name: "resnet18".into(), weights: None, layers: vec!["layer2".into(), "layer3".into()] }
    }
}

/// What batches are made of.
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
    /// Weight of the loss "is this image anomalous".
    pub classification: f64,
    /// Weight of the loss "which pixels are anomalous"; only images with a mask take part.
    pub segmentation: f64,
    /// Weight of the loss "what does the image look like".
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

/// The defect head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defects {
    /// Heads whose mean logit counts. Each learns without every n-th good image, which then tell how far its logits go on good images
    /// that it has not seen.
    pub heads: usize,
    /// Hidden units of one head.
    pub units: usize,
    /// Examples, made and described once: the steps take them in turn.
    pub examples: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Highest learning rate; it rises over the first tenth and falls to zero along a cosine.
    pub learning_rate: f64,
    /// Weight decay (AdamW).
    pub weight_decay: f64,
    /// Weight of the loss "is this image anomalous" beside "is this patch anomalous".
    pub image_loss: f64,
    /// How much one nat of the heads' logit counts, relative to a good image's largest distance.
    pub weight: f64,
    /// The logits count from what this share of the good images stay below altogether, each judged by the head that has not learned
    /// from it.
    pub start: f64,
    /// Steps between checkpoints.
    pub checkpoint: usize,
}

impl Default for Defects {
    fn default() -> Self {
        Defects {
            heads: 5,
            units: 64,
            examples: 960,
            steps: 200,
            learning_rate: 2e-3,
            weight_decay: 1e-2,
            image_loss: 0.3,
            weight: 0.03,
            start: 0.1,
            checkpoint: 50,
        }
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
    /// A share never keeps fewer patches than this, as long as there are so many.
    pub least: usize,
    /// Dimensions of the random projection that the selection works in.
    pub projection: usize,
    /// Memory for projected patches in MiB; more go through a file.
    pub memory_mib: usize,
}

impl Default for Bank {
    fn default() -> Self {
        Bank { share: 0.01, vectors: None, least: 1000, projection: 128, memory_mib: 2048 }
    }
}

/// The threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// Share of good parts that may be rejected.
    pub false_reject_rate: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Threshold { false_reject_rate: 0.01 }
    }
}
