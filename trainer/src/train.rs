//! One training, from images to a finished run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use detector::dataset::Dataset;
use detector::descriptor::PatchDescriptor;
use detector::files::{read_bounded, read_toml, write_atomic};
use detector::network::Backbone;
use detector::preprocess::Preprocess;
use detector::run::{FORMAT, RunInfo, Split};
use detector::tensors::Tensors;
use rayon::prelude::*;
use tch::Device;

use crate::finetune::{Start, finetune};
use crate::data::prepare;
use crate::defects::learn_head;
use crate::examples::{Batches, Sources};
use crate::features::{Coreset, Describer, coreset};
use crate::interrupt::Interrupt;
use crate::network::{Norms, device, random_weights, upload};
use crate::recipe::{Defects, Mode, Recipe};
use crate::split::Selection;
use crate::{references, weights};

/// Largest `split.json`.
const SPLIT_LIMIT: u64 = 64 << 20;

/// Where the data is and the run goes.
pub struct Order {
    /// What to learn and how, with the command line's wishes in it.
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
    let root = recipe.data.root.as_ref().context("no images given: use --data DIR or data.root in the recipe")?;
    let data = Dataset::open(root)?;
    let selection = Selection::draw(&data, &recipe.data, recipe.seed)?;
    let rule = recipe.preprocess(selection.colour);
    let mut backbone = Backbone::preset(&recipe.backbone.name)?;
    backbone.layers = recipe.backbone.layers.clone();
    let (weights, norms) = starting_weights(recipe, &mut backbone)?;
    let folder = Folder::open(&order.out, recipe, order.resume)?;
    let lesson = Lesson { recipe, root, selection, rule, backbone, weights, norms, earlier: None, device };
    lesson.learn(&folder, interrupt)
}

/// Everything that is decided before learning begins.
pub(crate) struct Lesson<'a> {
    pub recipe: &'a Recipe,
    /// Folder of the images.
    pub root: &'a Path,
    pub selection: Selection,
    pub rule: Preprocess,
    /// Without a defect head.
    pub backbone: Backbone,
    pub weights: Tensors,
    pub norms: Norms,
    /// What an earlier run has learned already.
    pub earlier: Option<Earlier>,
    pub device: Device,
}

/// An earlier run that is learned on from: its weights are the lesson's.
pub(crate) struct Earlier {
    /// Its memory bank, `[len, dims]` row-major.
    pub vectors: Vec<f32>,
    /// Good images of the bank that it has not seen.
    pub new: Vec<PathBuf>,
}

impl Lesson<'_> {
    /// Learns and writes the run.
    pub(crate) fn learn(self, folder: &Folder, interrupt: &Interrupt) -> Result<RunInfo> {
        let Lesson { recipe, root, selection, rule, mut backbone, mut weights, norms, earlier, device } = self;
        let mut seconds = BTreeMap::new();
        let began = Instant::now();
        log::info!(
            "{} good images for the bank, {} for the threshold, {} anomalous samples, {} left for evaluation; {device:?}",
            selection.bank.len(),
            selection.calibration.len(),
            selection.anomalous.len(),
            selection.test.len()
        );
        folder.settle(&selection.split()?)?;
        let calibration = store_calibration(&selection, &rule, &folder.path)?;

        let sources = Sources {
            good: &selection.bank,
            anomalous: &selection.anomalous,
            rule: &rule,
            choice: &recipe.examples,
            seed: recipe.seed,
        };
        let batches = (recipe.mode != Mode::PatchCore).then(|| Batches::new(sources)).transpose()?;
        let mut curves = BTreeMap::new();
        if let Some(batches) = &batches
            && earlier.is_none()
            && (recipe.mode == Mode::Apc || norms == Norms::Trained)
        {
            let choice = (&recipe.finetune, rule.input(), recipe.seed);
            let tuning = Instant::now();
            let start = Start { backbone: &backbone, weights: &weights, norms };
            let outcome = finetune(&start, batches, choice, &folder.path, device, interrupt)?;
            seconds.insert("finetune".into(), tuning.elapsed().as_secs_f64());
            curves.insert("finetune", outcome.curve);
            weights = outcome.weights;
        }

        let network = backbone.network()?;
        let parameters = upload(&network, &weights, device)?;
        let describer = Describer { network: &network, parameters: &parameters, rule: &rule, device };
        let mut head = None;
        if let Some(batches) = batches.as_ref().filter(|_| recipe.mode == Mode::ApcPlus) {
            let learning = Instant::now();
            // A head that has learned already needs half the steps.
            let steps = if earlier.is_some() { recipe.defects.steps.div_ceil(2) } else { recipe.defects.steps };
            let choice = Defects { steps, ..recipe.defects.clone() };
            let known = earlier.as_ref().map(|_| &weights);
            let learned = learn_head(&describer, batches, (&choice, recipe.seed), known, &folder.path, interrupt)?;
            seconds.insert("defects".into(), learning.elapsed().as_secs_f64());
            head = Some((learned, batches));
        }
        let (images, kept) = match &earlier {
            Some(Earlier { vectors, new }) => (new.as_slice(), vectors.as_slice()),
            None => (selection.bank.as_slice(), [].as_slice()),
        };
        let bank = coreset(&describer, (images, kept), &recipe.bank, recipe.seed, &folder.path, interrupt)?;
        seconds.insert("describe".into(), bank.describe_seconds);
        seconds.insert("coreset".into(), bank.select_seconds);
        write_bank(&bank, &folder.path)?;

        let mut defects = None;
        if let Some((head, batches)) = head {
            let (parameters, known) = head.join(&describer, batches, &bank.vectors, &recipe.defects)?;
            weights.tensors.extend(parameters.tensors);
            backbone.defect_units = Some(recipe.defects.units * recipe.defects.heads);
            defects = Some(known);
            curves.insert("defects", head.curve);
        }
        weights.write(&folder.path.join("weights.safetensors"))?;
        if !curves.is_empty() {
            folder.write("training.json", &serde_json::to_vec(&curves)?)?;
        }
        let network = backbone.network()?;
        let parameters = upload(&network, &weights, device)?;
        let describer = Describer { network: &network, parameters: &parameters, rule: &rule, device };
        let references =
            references::make(&describer, &selection, &bank.vectors, (defects, recipe.smoothing), recipe.seed, &folder.path)?;
        seconds.insert("all".into(), began.elapsed().as_secs_f64());

        let info = RunInfo {
            format: FORMAT,
            name: product_name(recipe, root),
            mode: recipe.mode.to_string(),
            kit: env!("CARGO_PKG_VERSION").into(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            seed: recipe.seed,
            data: fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf()),
            false_reject_rate: recipe.calibration.false_reject_rate,
            descriptor: PatchDescriptor::Concat,
            backbone,
            input: rule,
            smoothing: recipe.smoothing,
            defects,
            references,
            calibration,
            seconds,
            recipe: toml::Table::try_from(recipe)?,
        };
        info.write(&folder.path)?;
        folder.tidy();
        log::info!("memory bank: {} of {} patches", bank.vectors.len() / bank.dims, bank.patches);
        Ok(info)
    }
}

/// Pretrained weights with frozen normalisations, or random ones that are trained along.
fn starting_weights(recipe: &Recipe, backbone: &mut Backbone) -> Result<(Tensors, Norms)> {
    match &recipe.backbone.weights {
        Some(source) => Ok((weights::load(source, backbone)?, Norms::Frozen)),
        None if recipe.mode != Mode::PatchCore => {
            log::info!("no weights given: the backbone learns from scratch");
            Ok((random_weights(backbone, recipe.seed)?, Norms::Trained))
        }
        None => bail!(
            "PatchCore mode does not train its backbone: give pretrained weights with --weights FILE|NAME or backbone.weights"
        ),
    }
}

fn product_name(recipe: &Recipe, root: &Path) -> String {
    let folder = fs::canonicalize(root).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    recipe.data.name.clone().or(folder).unwrap_or_else(|| "product".into())
}

fn store_calibration(selection: &Selection, rule: &Preprocess, run: &Path) -> Result<Vec<detector::run::StoredPicture>> {
    let store = |(index, path): (usize, &PathBuf)| references::store(&prepare(path, rule)?, run, "calibration", index);
    selection.calibration.par_iter().enumerate().map(store).collect()
}

fn write_bank(bank: &Coreset, run: &Path) -> Result<()> {
    let mut file = Tensors::default();
    file.insert("vectors", [bank.vectors.len() / bank.dims, bank.dims], bank.vectors.clone());
    Ok(file.write(&run.join("bank.safetensors"))?)
}

/// The run's folder, locked against a second training.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(crate) fn open(path: &Path, recipe: &Recipe, resume: bool) -> Result<Folder> {
        let path = path.to_path_buf();
        let recipe_path = path.join("recipe.toml");
        let begun = recipe_path.exists();
        let empty =
            !path.exists() || fs::read_dir(&path).with_context(|| format!("{}: cannot list", path.display()))?.next().is_none();
        match (resume, begun) {
            (true, false) => bail!("{}: holds no run to resume; leave out --resume to begin one", path.display()),
            (false, true) => bail!("{}: already holds a run; choose another --out, or go on with --resume", path.display()),
            (false, false) if !empty => bail!("{}: is not empty and holds no run; choose another --out", path.display()),
            _ => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot create", path.display()))?;
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path).with_context(|| format!("{}: cannot create", lock_path.display()))?;
        lock.try_lock()
            .map_err(|_| anyhow::anyhow!("{}: another training writes to this run; choose another --out", path.display()))?;
        if begun {
            let previous: Recipe = read_toml(&recipe_path)?;
            if previous != *recipe {
                bail!("{}: was begun with another recipe; resume it with the same options", recipe_path.display());
            }
        } else {
            write_atomic(&recipe_path, toml::to_string(recipe)?.as_bytes())?;
        }
        Ok(Folder { path, _lock: lock })
    }

    /// Whether its run needs no more learning.
    pub(crate) fn is_finished(&self) -> bool {
        self.path.join("run.toml").exists()
    }

    /// Writes the split of a new run; one that was begun must have the same, or what it has learned from could be tested on.
    pub(crate) fn settle(&self, split: &Split) -> Result<()> {
        let path = self.path.join("split.json");
        if !path.exists() {
            return self.write("split.json", &serde_json::to_vec_pretty(split)?);
        }
        let begun: Split = serde_json::from_slice(&read_bounded(&path, SPLIT_LIMIT)?)
            .with_context(|| format!("{}: is not the split of a run; begin anew with another --out", path.display()))?;
        if begun != *split {
            bail!(
                "{}: the images are not those that the run was begun with; put them back, or begin anew with another --out",
                path.display()
            );
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_atomic(&self.path.join(name), bytes)?)
    }

    /// What a finished run needs no more; leftovers do no harm.
    pub(crate) fn tidy(&self) {
        for name in ["finetune.checkpoint.safetensors", "defects.checkpoint.safetensors", ".lock"] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}
