//! `cargo xtask bench learning`: ways to learn side by side, on the same test images, like the publication's table.

mod table;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::trial::{Trial, commit};
use crate::binaries::Build;
use crate::figures::Figures;
use crate::setup;
use crate::wheel::sha256;
use crate::workspace::Workspace;

/// Compare ways to learn: every system, product and seed, through the bundle and the runtime's own code.
///
/// All systems leave the same anomalous samples out of the test set. Finished cells are kept in the JSON file and not done again.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a product's images; may be given several times
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: PathBuf,
    /// Systems to compare: names of recipes in configs/train/, or NAME=RECIPE
    #[arg(long, value_delimiter = ',', default_value = "patchcore=whole,apc,apc+")]
    systems: Vec<String>,
    /// Seeds 0, 1, ...
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Anomalous samples to learn from, taken out of every system's test set
    #[arg(long, default_value_t = 10)]
    samples: usize,
    /// How they are drawn: each image alike, each defect type in turn, or all from one type (another one for each seed), with the
    /// other types as the test set
    #[arg(long, value_enum, default_value = "random")]
    split: Split,
    /// Learn from "this image is anomalous" alone; masks serve the test only
    #[arg(long)]
    labels_only: bool,
    /// File that keeps the cells
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Split {
    Random,
    Stratified,
    Hard,
}

/// One training and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    /// The product: name of its folder.
    data: String,
    system: String,
    seed: u64,
    /// How the anomalous samples were drawn, and how many.
    split: String,
    image_auroc: Option<f64>,
    image_f1: Option<f64>,
    pixel_auroc: Option<f64>,
    pixel_f1: Option<f64>,
    aupro: Option<f64>,
    miss_rate: Option<f64>,
    false_reject_rate: Option<f64>,
    /// Median.
    latency_ms: f64,
    train_seconds: f64,
    /// What it was made from: recipe and weights; other inputs make another cell.
    inputs: String,
    commit: String,
}

/// A named recipe.
struct System {
    name: String,
    recipe: toml::Table,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let systems: Vec<System> = args.systems.iter().map(|text| System::read(workspace, text)).collect::<Result<_>>()?;
    let weights = existing(&args.weights)?;
    let weights_sha256 = sha256(&weights)?;
    let folder = workspace.cache().join("bench");
    let out =
        std::path::absolute(args.out.clone().unwrap_or_else(|| folder.join("learning.json"))).context("--out is no path")?;
    let mut cells = read(&out)?;
    let mut wanted = Vec::new();
    for data in &args.data {
        let data = existing(data)?;
        let name = data.file_name().context("--data must be a folder with a name")?.to_string_lossy().into_owned();
        for seed in 0..args.seeds {
            let draw = Draw::new(args, &data, seed)?;
            for system in &systems {
                let recipe = draw.applied_to(&system.recipe)?;
                let inputs = format!("recipe {:016x} weights {}", fnv(&recipe), &weights_sha256[..16]);
                let (name, split, system) = (name.clone(), draw.label.clone(), system.name.clone());
                wanted.push(Wanted { data: data.clone(), name, seed, system, split, recipe, inputs });
            }
        }
    }
    let mut built = None;
    for (number, cell) in wanted.iter().enumerate() {
        if cells.iter().any(|found| cell.is(found)) {
            continue;
        }
        if built.is_none() {
            built = Some(Build::of_everything(workspace, &setup::prepare(workspace)?)?);
        }
        let Some(build) = &built else { bail!("nothing was built") };
        let Wanted { name, system, seed, split, .. } = cell;
        eprintln!("bench: {} of {}: {name}, {system}, seed {seed}, {split}", number + 1, wanted.len());
        let trial = Trial::new(build, &cell.data, folder.join("learning"))?;
        let recipe = folder.join("learning").join("recipe.toml");
        fs::write(&recipe, &cell.recipe).with_context(|| format!("cannot write {}", recipe.display()))?;
        let usage = trial.train(&recipe, &weights, cell.seed)?;
        let figures = trial.export_and_evaluate()?;
        cells.retain(|found| (&found.data, found.seed, &found.system, &found.split) != (name, *seed, system, split));
        cells.push(Cell::new(cell, &figures, usage.seconds, commit(workspace)));
        keep(&out, &cells)?;
    }
    let shown: Vec<Cell> = wanted.iter().filter_map(|cell| cells.iter().find(|found| cell.is(found))).cloned().collect();
    let order: Vec<&str> = systems.iter().map(|system| system.name.as_str()).collect();
    writeln!(io::stdout(), "{}cells: {}", table::table(&shown, &order), out.display()).context("cannot print the result")
}

fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// Tells recipes apart (FNV-1a); nothing hostile comes here.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A cell to be filled.
struct Wanted {
    data: PathBuf,
    name: String,
    seed: u64,
    system: String,
    split: String,
    /// TOML.
    recipe: String,
    inputs: String,
}

impl Wanted {
    fn is(&self, cell: &Cell) -> bool {
        (&cell.data, cell.seed, &cell.system, &cell.split, &cell.inputs)
            == (&self.name, self.seed, &self.system, &self.split, &self.inputs)
    }
}

/// Which anomalous samples are learned from: the same for every system.
struct Draw {
    /// For the table.
    label: String,
    settings: toml::Table,
}

impl Draw {
    fn new(args: &Args, data: &Path, seed: u64) -> Result<Draw> {
        let mut samples = args.samples;
        let mut settings = toml::Table::new();
        let mut label = match args.split {
            Split::Random => format!("random {samples}"),
            Split::Stratified => {
                settings.insert("draw".into(), "stratified".into());
                format!("stratified {samples}")
            }
            Split::Hard => {
                let types = defect_types(data)?;
                if types.len() < 2 {
                    bail!("{}: --split hard needs two defect types or more, {} are there", data.display(), types.len());
                }
                let (name, images) = &types[seed as usize % types.len()];
                samples = samples.min(*images);
                settings.insert("learned_types".into(), vec![toml::Value::from(name.clone())].into());
                format!("hard {name} {samples}")
            }
        };
        settings.insert("anomalous_samples".into(), toml::Value::Integer(samples as i64));
        if args.labels_only {
            settings.insert("masks".into(), false.into());
            label += ", labels only";
        }
        Ok(Draw { label, settings })
    }

    /// A recipe with these samples, as TOML.
    fn applied_to(&self, recipe: &toml::Table) -> Result<String> {
        let mut recipe = recipe.clone();
        let data = recipe.entry("data").or_insert_with(|| toml::Table::new().into());
        data.as_table_mut().context("data is no section of the recipe")?.extend(self.settings.clone());
        Ok(recipe.to_string())
    }
}

/// The test set's defect types, sorted, and how many images each has.
fn defect_types(data: &Path) -> Result<Vec<(String, usize)>> {
    let list = |folder: &Path| fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let test = data.join("test");
    let mut types = Vec::new();
    for entry in list(&test).with_context(|| format!("cannot list {}", test.display()))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "good" && entry.path().is_dir() {
            types.push((name, list(&entry.path()).with_context(|| format!("cannot list {}", entry.path().display()))?.len()));
        }
    }
    types.sort();
    Ok(types)
}

impl System {
    /// `NAME` or `NAME=RECIPE`; a recipe is a file or the name of one in `configs/train/`.
    fn read(workspace: &Workspace, text: &str) -> Result<System> {
        let (name, recipe) = text.split_once('=').unwrap_or((text, text));
        let path = match recipe.ends_with(".toml") {
            true => PathBuf::from(recipe),
            false => workspace.root().join("configs/train").join(recipe).with_extension("toml"),
        };
        let content = fs::read_to_string(&path).with_context(|| format!("system {name}: cannot read {}", path.display()))?;
        let recipe: toml::Table = content.parse().with_context(|| format!("{}: is no TOML", path.display()))?;
        Ok(System { name: name.into(), recipe })
    }
}

impl Cell {
    fn new(wanted: &Wanted, figures: &Figures, train_seconds: f64, commit: String) -> Cell {
        let Figures { image_auroc, image_f1, pixel_auroc, pixel_f1, aupro, miss_rate, false_reject_rate, .. } = *figures;
        Cell {
            data: wanted.name.clone(),
            system: wanted.system.clone(),
            seed: wanted.seed,
            split: wanted.split.clone(),
            image_auroc,
            image_f1,
            pixel_auroc,
            pixel_f1,
            aupro,
            miss_rate,
            false_reject_rate,
            latency_ms: figures.latency_ms.p50,
            train_seconds,
            inputs: wanted.inputs.clone(),
            commit,
        }
    }
}

fn read(path: &Path) -> Result<Vec<Cell>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{}: does not hold the cells of this bench; name another --out", path.display())),
    }
}

fn keep(path: &Path, cells: &[Cell]) -> Result<()> {
    let text = serde_json::to_string_pretty(cells).context("cannot write the cells as JSON")?;
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs::write(path, text + "\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn cell(data: &str, system: &str, seed: u64, image_auroc: f64) -> Cell {
        Cell {
            data: data.into(),
            system: system.into(),
            seed,
            split: "random 10".into(),
            image_auroc: Some(image_auroc),
            image_f1: Some(0.9),
            pixel_auroc: None,
            pixel_f1: None,
            aupro: None,
            miss_rate: Some(0.1),
            false_reject_rate: Some(0.0),
            latency_ms: 50.0,
            train_seconds: 60.0,
            inputs: "x".into(),
            commit: "c".into(),
        }
    }

    #[test]
    fn the_hard_split_learns_another_type_with_each_seed() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, count) in [("good", 9), ("scratch", 3), ("dent", 12)] {
            fs::create_dir_all(folder.path().join("test").join(kind)).unwrap();
            (0..count).for_each(|i| fs::write(folder.path().join(format!("test/{kind}/{i}.png")), "").unwrap());
        }
        let args = |split, labels_only| Args {
            data: Vec::new(),
            weights: PathBuf::new(),
            systems: Vec::new(),
            seeds: 3,
            samples: 10,
            split,
            labels_only,
            out: None,
        };
        let draw = |split, labels_only, seed| Draw::new(&args(split, labels_only), folder.path(), seed).unwrap();
        let labels = [0, 1, 2].map(|seed| draw(Split::Hard, false, seed).label);
        assert_eq!(labels, ["hard dent 10", "hard scratch 3", "hard dent 10"]);
        let recipe: toml::Table = "mode = \"apc\"\n[data]\nroot = \"x\"".parse().unwrap();
        let applied: toml::Table = draw(Split::Random, true, 0).applied_to(&recipe).unwrap().parse().unwrap();
        let data = applied["data"].as_table().unwrap();
        assert_eq!((data["root"].as_str(), data["anomalous_samples"].as_integer()), (Some("x"), Some(10)));
        assert_eq!(data["masks"].as_bool(), Some(false));
    }

    #[test]
    fn cells_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/cells.json");
        assert_eq!(read(&path).unwrap(), []);
        let cells = [cell("a", "apc", 0, 0.5)];
        keep(&path, &cells).unwrap();
        assert_eq!(read(&path).unwrap(), cells);
        fs::write(&path, "[{}]").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("--out"));
    }
}
