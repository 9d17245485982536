//! New images for a run: its bank and its defect head learn on instead of starting over.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detector::dataset::{Dataset, Sample};
use detector::evaluate::Figures;
use detector::network::Backbone;
use detector::run::{Run, Use};

use crate::evaluate::evaluate_on;
use crate::interrupt::Interrupt;
use crate::lesson::{Earlier, Lesson};
use crate::methods::method;
use crate::network::{Norms, device};
use crate::recipe::{Defects, Folding, HELD_OUT, Recipe};
use crate::run_folder::RunFolder;
use crate::split::Selection;
use crate::train::learn;

/// The first format of runs whose weight of logits is in spreads, and whose defect heads leave out anomalous samples.
const SPREADS: u32 = 3;

/// Which images are added to which run.
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
    /// Go on with an unfinished update, or repeat the comparison of a finished one.
    pub resume: bool,
}

/// Figures of both runs on the images that neither has seen.
pub struct Comparison {
    /// The run that was updated.
    pub old: Figures,
    /// The new one.
    pub new: Figures,
}

/// Learns on and writes the new run. Where the run has held images out, the memory bank is selected from the old bank's vectors and the
/// new images' patches together (a coreset of coresets); where it left out folds, from the patches of all images, because the bank without
/// a fold must not know it. The defect head learns on from its old parameters. The threshold is computed anew. Resuming a finished
/// update only compares. There is no comparison where both runs have seen all images.
///
/// # Errors
/// When nothing new was added, an image of the run is gone, the run's mode cannot learn what was added, or as in training.
pub fn update(order: &UpdateOrder, interrupt: &Interrupt) -> Result<Option<Comparison>> {
    let run = Run::open(&order.run)?;
    let device = device(&order.device)?;
    let recipe = recipe(&run, order)?;
    let (data, added) = (open(order.data.as_ref().unwrap_or(&run.info.data))?, open(&order.add)?);
    let split = run.split()?;
    let (selection, new) = Selection::extended(&split, &data, &added, (&recipe.data, folding(&run, &recipe)), recipe.seed)?;
    let learned_before = split.images.iter().filter(|image| image.r#use == Use::Anomalous).count();
    if selection.anomalous.len() > learned_before
        && let Some(reason) = method(recipe.mode).refuses_new_anomalous()
    {
        let (run, add) = (order.run.display(), order.add.display());
        bail!("{add}: holds new anomalous images, and {run} cannot learn from them; {reason}");
    }
    let tested = selection.test.clone();
    let folder = RunFolder::open(&order.out, &recipe, order.resume)?;
    if folder.is_finished() {
        folder.settle(&selection.split()?)?;
        folder.tidy();
    } else {
        let lesson = Lesson {
            recipe: &recipe,
            root: &data.root,
            selection,
            rule: run.info.input.clone(),
            backbone: Backbone { defect_units: None, ..run.info.backbone.clone() },
            weights: run.weights()?,
            norms: Norms::Frozen,
            earlier: Some(Earlier { vectors: run.vectors()?, new, leaves_out_anomalous: run.info.format >= SPREADS }),
            device,
        };
        learn(&lesson, &folder, interrupt)?;
    }
    drop(folder);
    compare(&run, &Run::open(&order.out)?, &tested, (&order.device, interrupt))
}

/// An update divides the good images as the run has divided them.
fn folding(run: &Run, recipe: &Recipe) -> Folding {
    let Folding { folds, held_out } = recipe.folding();
    match run.info.fold_scores {
        Some(_) => Folding { folds, held_out: None },
        None => Folding { folds, held_out: held_out.or(Some(HELD_OUT)) },
    }
}

/// The run's recipe, for this update.
fn recipe(run: &Run, order: &UpdateOrder) -> Result<Recipe> {
    let mut recipe: Recipe = run.info.recipe.clone().try_into().with_context(|| {
        format!("{}: this version cannot read the recipe in it: train again", order.run.join("run.toml").display())
    })?;
    recipe.device.clone_from(&order.device);
    if run.info.format < SPREADS {
        let Defects { weight, start, map_weight, map_start, .. } = Defects::default();
        recipe.defects = Defects { weight, start, map_weight, map_start, ..recipe.defects };
    }
    // Earlier versions had one head.
    recipe.defects.heads = run.info.backbone.defect_units.map_or(recipe.defects.heads, |units| units / recipe.defects.units);
    Ok(recipe)
}

/// Opens a data set by its full path: the split of the new run then names images so that they are found from any working folder.
fn open(folder: &Path) -> Result<Dataset> {
    // A missing folder keeps its name: `Dataset::open` then reports the name that the user gave.
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    Ok(Dataset::open(&folder)?)
}

fn compare(old: &Run, new: &Run, tested: &[Sample], (device, interrupt): (&str, &Interrupt)) -> Result<Option<Comparison>> {
    if tested.is_empty() {
        log::warn!("both runs have seen all images: there is nothing to compare on");
        return Ok(None);
    }
    let figures = |run: &Run| Ok::<_, anyhow::Error>(evaluate_on(run, tested, device, interrupt)?.0.figures);
    Ok(Some(Comparison { old: figures(old)?, new: figures(new)? }))
}
