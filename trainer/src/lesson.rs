//! What is decided before learning begins: which images, which network, which weights.

use std::path::{Path, PathBuf};

use anyhow::Result;
use detector::network::{Backbone, Network};
use detector::preprocess::Preprocess;
use detector::tensors::Tensors;
use tch::Device;

use crate::describer::Describer;
use crate::examples::{Batches, Sources};
use crate::network::{Named, Norms};
use crate::recipe::Recipe;
use crate::split::Selection;

/// A product to learn, ready for any method.
pub struct Lesson<'a> {
    /// The settings.
    pub recipe: &'a Recipe,
    /// Folder of the images.
    pub root: &'a Path,
    /// Which image is used for what.
    pub selection: Selection,
    /// From file to network input.
    pub rule: Preprocess,
    /// The network without a defect head.
    pub backbone: Backbone,
    /// Its weights when learning begins: pretrained ones, random ones, or those of an earlier run with its defect head.
    pub weights: Tensors,
    /// Frozen with pretrained weights, trained with random ones.
    pub norms: Norms,
    /// The run that an update learns on from; its weights are the lesson's.
    pub earlier: Option<Earlier>,
    /// Where libtorch computes.
    pub device: Device,
}

/// What an update needs of the run that it learns on from, beside its weights.
pub struct Earlier {
    /// Memory bank of the run, `[len, dims]` row-major.
    pub vectors: Vec<f32>,
    /// Good images for the memory bank that the run has not seen.
    pub new: Vec<PathBuf>,
    /// Whether each anomalous sample of the run is unknown to one of its heads.
    pub leaves_out_anomalous: bool,
}

impl Lesson<'_> {
    /// The batches that gradients are computed on.
    ///
    /// # Errors
    /// When an anomalous sample cannot be read or its mask does not fit.
    pub fn batches(&self) -> Result<Batches<'_>> {
        let Lesson { recipe, selection, rule, .. } = self;
        let Selection { bank: good, anomalous, .. } = selection;
        let (folds, anomalous_folds) =
            (selection.folds(), (0..anomalous.len()).map(|place| self.fold_of_anomalous(place)).collect());
        let sources = Sources { good, folds, anomalous, anomalous_folds, rule, choice: &recipe.examples, seed: recipe.seed };
        Ok(Batches::new(sources)?)
    }

    /// The fold of an anomalous sample: the defect head of this number does not learn from it. A single head learns from all.
    pub fn fold_of_anomalous(&self, place: usize) -> usize {
        match self.recipe.defects.heads {
            0 | 1 => 1,
            heads => place % heads,
        }
    }

    /// Whether each anomalous sample is unknown to one of the heads. Heads of earlier versions learned from all.
    pub fn leaves_out_anomalous(&self) -> bool {
        self.recipe.defects.heads > 1 && self.earlier.as_ref().is_none_or(|earlier| earlier.leaves_out_anomalous)
    }

    /// A network with these parameters, which describes the product's images.
    pub fn describer<'b>(&'b self, network: &'b Network, parameters: &'b Named) -> Describer<'b> {
        Describer { network, parameters, rule: &self.rule, device: self.device }
    }
}
