//! New images for a run: its bank and its defect head learn on instead of starting over.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use detector::dataset::{Dataset, Sample};
use detector::evaluate::Figures;
use detector::network::Backbone;
use detector::run::Run;

use crate::evaluate::evaluate_on;
use crate::interrupt::Interrupt;
use crate::network::{Norms, device};
use crate::recipe::{Mode, Recipe};
use crate::split::Selection;
use crate::train::{Earlier, Folder, Lesson};

/// What is added to which run.
pub struct UpdateOrder {
    /// The run; it stays as it is.
    pub run: PathBuf,
    /// Folder of the new images, in one of the layouts: good ones (a new variation of the product), anomalous ones, or both.
    pub add: PathBuf,
    /// Folder of the run's images, if they have moved.
    pub data: Option<PathBuf>,
    /// The new run's folder.
    pub out: PathBuf,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Go on with an unfinished update.
    pub resume: bool,
}

/// Figures of both runs on the images that neither has seen.
pub struct Comparison {
    /// The run that was updated.
    pub old: Figures,
    /// The new one.
    pub new: Figures,
}

/// Learns on and writes the new run. The bank is selected from the old bank's vectors and the new images' patches together (a coreset of
/// coresets), the defect head goes on from where it was, and the threshold is found anew.
///
/// # Errors
/// When nothing new was added, an image of the run is gone, the run's mode cannot learn what was added, or as in training.
pub fn update(order: &UpdateOrder, interrupt: &Interrupt) -> Result<Comparison> {
    let run = Run::open(&order.run)?;
    let device = device(&order.device)?;
    let mut recipe: Recipe = run.info.recipe.clone().try_into().with_context(|| {
        format!("{}: its recipe is not one of this version: train again", order.run.join("run.toml").display())
    })?;
    recipe.device.clone_from(&order.device);
    // Earlier versions had one head.
    recipe.defects.heads = run.info.backbone.defect_units.map_or(recipe.defects.heads, |units| units / recipe.defects.units);
    let root = order.data.as_ref().unwrap_or(&run.info.data);
    let (data, added) = (Dataset::open(root)?, Dataset::open(&order.add)?);
    let split = run.split()?;
    let (selection, new) = Selection::extended(&split, &data, &added, &recipe.data, recipe.seed)?;
    let learned_before = split.images.iter().filter(|image| image.r#use == detector::run::Use::Anomalous).count();
    if recipe.mode == Mode::Apc && selection.anomalous.len() > learned_before {
        bail!(
            "{}: mode \"apc\" fine-tunes its features, which new anomalous images would change for the whole bank: train again, \
             or use mode \"apc+\"",
            order.run.display()
        );
    }
    let folder = Folder::open(&order.out, &recipe, order.resume)?;
    let lesson = Lesson {
        recipe: &recipe,
        root,
        selection,
        rule: run.info.input.clone(),
        backbone: Backbone { defect_units: None, ..run.info.backbone.clone() },
        weights: run.weights()?,
        norms: Norms::Frozen,
        earlier: Some(Earlier { vectors: run.vectors()?, new }),
        device,
    };
    lesson.learn(&folder, interrupt)?;
    drop(folder);
    let updated = Run::open(&order.out)?;
    let of_old: Vec<Sample> = data.unseen(&split)?;
    let of_both: Vec<Sample> = data.unseen(&updated.split()?)?.into_iter().filter(|sample| of_old.contains(sample)).collect();
    let figures = |run: &Run| Ok::<_, anyhow::Error>(evaluate_on(run, &of_both, &order.device)?.0.figures);
    Ok(Comparison { old: figures(&run)?, new: figures(&updated)? })
}
