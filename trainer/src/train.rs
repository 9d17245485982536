//! One training, from images to a finished run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use detector::dataset::Dataset;
use detector::descriptor::PatchDescriptor;
use detector::network::Backbone;
use detector::preprocess::Preprocess;
use detector::run::{FORMAT, Reference, RunInfo, StoredPicture};
use detector::scorer::Places;
use detector::tensors::Tensors;
use rayon::prelude::*;

use crate::bank::Filled;
use crate::data::prepare;
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::methods::{Course, Learned, method};
use crate::network::{Norms, device, random_weights, upload};
use crate::recipe::Recipe;
use crate::run_folder::RunFolder;
use crate::scoring::{self, Scoring};
use crate::split::Selection;
use crate::{references, weights};

/// What to train, and where the run goes.
pub struct Order {
    /// What to learn and how; the options of the command line are already in it.
    pub recipe: Recipe,
    /// The run's folder.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
}

/// Trains and writes the run; `run.toml` is the last file.
///
/// # Errors
/// When interrupted, or anything is missing, unreadable or does not fit. A run that was begun can be resumed.
pub fn train(order: &Order, interrupt: &Interrupt) -> Result<RunInfo> {
    let recipe = &order.recipe;
    recipe.validate()?;
    let device = device(&recipe.device)?;
    let root =
        recipe.data.root.as_ref().context("no images given: name their folder with --data or with data.root in the recipe")?;
    let data = Dataset::open(root)?;
    let selection = Selection::draw(&data, &recipe.data, recipe.folding(), recipe.seed)?;
    let rule = recipe.preprocess(selection.colour);
    let mut backbone = Backbone::preset(&recipe.backbone.name)?;
    backbone.layers = recipe.backbone.layers.clone();
    let (weights, norms) = starting_weights(recipe, &mut backbone)?;
    let folder = RunFolder::open(&order.out, recipe, order.resume)?;
    let lesson = Lesson { recipe, root, selection, rule, backbone, weights, norms, earlier: None, device };
    learn(&lesson, &folder, interrupt)
}

/// Pretrained weights with frozen normalisations, or random ones that are trained along.
fn starting_weights(recipe: &Recipe, backbone: &mut Backbone) -> Result<(Tensors, Norms)> {
    match &recipe.backbone.weights {
        Some(source) => Ok((weights::load(source, backbone)?, Norms::Frozen)),
        None if method(recipe.mode).trains_backbone() => {
            log::info!("no weights given: the backbone learns from scratch");
            Ok((random_weights(backbone, recipe.seed)?, Norms::Trained))
        }
        None => bail!(
            "mode \"{}\" does not train its backbone: give pretrained weights with --weights or with backbone.weights in the recipe",
            recipe.mode
        ),
    }
}

/// Learns a lesson by the method of its recipe, and writes the run.
///
/// # Errors
/// As [`train`].
pub(crate) fn learn(lesson: &Lesson<'_>, folder: &RunFolder, interrupt: &Interrupt) -> Result<RunInfo> {
    let began = Instant::now();
    let Selection { bank, anomalous, test, .. } = &lesson.selection;
    log::info!(
        "{} good images for the bank, {} {} for the threshold, {} anomalous samples, {} left for evaluation; {:?}",
        bank.len(),
        lesson.selection.for_threshold().len(),
        if lesson.selection.leaves_out_folds() { "of them" } else { "held out" },
        anomalous.len(),
        test.len(),
        lesson.device
    );
    folder.settle(&lesson.selection.split()?)?;
    let calibration = store_calibration(&lesson.selection, &lesson.rule, folder.path())?;
    let learned = method(lesson.recipe.mode).learn(lesson, folder, interrupt)?;
    let began_scoring = Instant::now();
    let scoring = scoring::decide(lesson, &learned, interrupt)?;
    let finished = Finished::new(learned, scoring)?;
    write_files(&finished, folder)?;
    let scoring_seconds = began_scoring.elapsed().as_secs_f64();
    let references = make_references(lesson, &finished, folder)?;
    let patches = (finished.bank.vectors.len() / finished.bank.dims, finished.bank.patches);
    let mut info = describe(lesson, finished, references, calibration)?;
    info.seconds.insert("score".into(), scoring_seconds);
    info.seconds.insert("all".into(), began.elapsed().as_secs_f64());
    info.write(folder.path())?;
    folder.tidy();
    log::info!("memory bank: {} of {} patches", patches.0, patches.1);
    Ok(info)
}

/// Saves the pictures that the threshold comes from, as the network sees them.
fn store_calibration(selection: &Selection, rule: &Preprocess, run: &Path) -> Result<Vec<StoredPicture>> {
    let store = |(index, path): (usize, &PathBuf)| {
        let stored = references::store(&prepare(path, rule)?, run, "calibration", index)?;
        Ok(StoredPicture { image: Some(selection.relative(path)), ..stored })
    };
    selection.for_threshold().par_iter().enumerate().map(store).collect()
}

/// A detector that has learned a product and knows what counts in its score.
struct Finished {
    /// With the defect head, if there is one.
    backbone: Backbone,
    weights: Tensors,
    bank: Filled,
    course: Course,
    scoring: Scoring,
}

impl Finished {
    /// The defect head becomes a part of the network.
    fn new(learned: Learned, scoring: Scoring) -> Result<Finished> {
        let Learned { mut backbone, mut weights, bank, head, course } = learned;
        if let Some(head) = head {
            weights.tensors.extend(head.parameters_of(&backbone.network()?, scoring.start)?.tensors);
            backbone.defect_units = Some(head.units());
        }
        Ok(Finished { backbone, weights, bank, course, scoring })
    }
}

/// Writes memory bank, places, weights and training curves.
fn write_files(Finished { weights, bank, course, scoring, .. }: &Finished, folder: &RunFolder) -> Result<()> {
    if let Some(places) = &scoring.rule.places {
        places.to_tensors().write(&folder.path().join(Places::FILE))?;
    }
    let Filled { vectors, dims, .. } = bank;
    let mut file = Tensors::default();
    file.insert("vectors", [vectors.len() / dims, *dims], vectors.clone());
    file.write(&folder.path().join("bank.safetensors"))?;
    weights.write(&folder.path().join("weights.safetensors"))?;
    if !course.curves.is_empty() {
        folder.write("training.json", &serde_json::to_vec(&course.curves)?)?;
    }
    Ok(())
}

/// Saves pictures with libtorch's results of the finished network.
fn make_references(lesson: &Lesson<'_>, finished: &Finished, folder: &RunFolder) -> Result<Vec<Reference>> {
    let Lesson { recipe, selection, device, .. } = lesson;
    let network = finished.backbone.network()?;
    let parameters = upload(&network, &finished.weights, *device)?;
    let describer = lesson.describer(&network, &parameters);
    references::make(&describer, selection, &finished.bank.vectors, &finished.scoring.rule, recipe.seed, folder.path())
}

/// The content of `run.toml`.
fn describe(
    lesson: &Lesson<'_>,
    finished: Finished,
    references: Vec<Reference>,
    calibration: Vec<StoredPicture>,
) -> Result<RunInfo> {
    let Lesson { recipe, root, rule, .. } = lesson;
    let Finished { backbone, course, scoring: Scoring { rule: score_rule, folds, anomalous, .. }, .. } = finished;
    Ok(RunInfo {
        format: FORMAT,
        name: product_name(recipe, root),
        mode: recipe.mode.to_string(),
        kit: env!("CARGO_PKG_VERSION").into(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        seed: recipe.seed,
        data: fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf()),
        false_reject_rate: recipe.calibration.false_reject_rate,
        place: recipe.calibration.place,
        descriptor: PatchDescriptor::Concat,
        backbone,
        input: rule.clone(),
        smoothing: recipe.smoothing,
        defects: score_rule.defects,
        places: score_rule.places.map(|_| Places::FILE.into()),
        references,
        calibration,
        fold_scores: folds,
        anomalous_scores: anomalous,
        seconds: course.seconds,
        recipe: toml::Table::try_from(recipe)?,
    })
}

/// The name in the recipe, or the name of the images' folder.
fn product_name(recipe: &Recipe, root: &Path) -> String {
    let folder = fs::canonicalize(root).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    recipe.data.name.clone().or(folder).unwrap_or_else(|| "product".into())
}
