//! `cargo xtask bench learning`: ways to learn side by side, on the same test images, like the publication's table.

mod cells;
mod draw;
mod paired;
mod system;
mod table;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::cells::{Cells, Wanted, fnv};
use self::draw::{Draw, LABELS_ONLY, Split, Truth};
use self::system::System;
use self::table::{Compared, Row};
use super::trial::{Trial, commit};
use crate::binaries::{Build, Targets};
use crate::files::{self, existing, sha256};
use crate::setup;
use crate::workspace::Workspace;

/// Compare ways to learn: every system, product, draw and seed, through the bundle and the runtime's own code.
///
/// All systems leave the same anomalous samples out of the test set. Finished cells are kept in the JSON file and not done again. The
/// scores of their images are kept beside it: they show how sure a difference from the first system is.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a product's images; may be given several times
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: PathBuf,
    /// Systems to compare with the first of them: names of recipes in configs/train/, NAME=RECIPE, or NAME=RECIPE:KEY=VALUE:... with
    /// other settings
    #[arg(long, value_delimiter = ',', default_value = "patchcore=whole,apc,apc+")]
    systems: Vec<String>,
    /// Seeds 0, 1, ...
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Anomalous samples to learn from, taken out of every system's test set; several numbers make several draws
    #[arg(long, value_delimiter = ',', default_value = "10")]
    anomalous: Vec<usize>,
    /// How they are drawn
    #[arg(long, value_enum, value_delimiter = ',', default_value = "random")]
    split: Vec<Split>,
    /// What the training knows of them
    #[arg(long, value_enum, value_delimiter = ',', default_value = "masks")]
    truth: Vec<Truth>,
    /// File that keeps the cells
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The cells of one row of the table.
struct Plan {
    product: String,
    draw: String,
    system: String,
    seeds: Vec<Wanted>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let systems: Vec<System> = args.systems.iter().map(|text| System::read(workspace, text)).collect::<Result<_>>()?;
    let weights = existing(&args.weights)?;
    let folder = workspace.cache().join("bench");
    let out =
        std::path::absolute(args.out.clone().unwrap_or_else(|| folder.join("learning.json"))).context("--out is no path")?;
    let mut cells = Cells::read(&out)?;
    let _lock = cells.prepare()?;
    let inputs = format!("defaults {:016x} weights {}", fnv(&defaults(workspace)?), &sha256(&weights)?[..16]);
    let plans = plan(args, &systems, &inputs)?;
    let all = plans.iter().map(|plan| plan.seeds.len()).sum::<usize>();
    let (mut built, commit) = (None, commit(workspace));
    for (number, wanted) in plans.iter().flat_map(|plan| &plan.seeds).enumerate() {
        if cells.finished(wanted) {
            continue;
        }
        if built.is_none() {
            built = Some(Build::of(workspace, &setup::prepare(workspace)?, Targets::Programs)?);
        }
        let Some(build) = &built else { bail!("nothing was built") };
        let Wanted { name, system, seed, split, .. } = wanted;
        eprintln!("bench: {} of {all}: {name}, {system}, seed {seed}, {split}", number + 1);
        // Beside the cells: another bench with a file of its own may run at the same time.
        let scratch = out.with_extension("trial");
        let trial = Trial::new(build, &wanted.data, scratch.clone())?;
        let recipe = scratch.join("recipe.toml");
        files::write(&recipe, &wanted.recipe)?;
        let usage = trial.train(&recipe, &weights, *seed)?;
        let figures = trial.export_and_evaluate(Some(&cells.scores_of(wanted)))?;
        cells.add(wanted, &figures, usage.seconds, commit.clone())?;
    }
    let reference = systems.first().map_or("", |system| system.name.as_str());
    let text = report(&cells, &plans, reference)?;
    writeln!(io::stdout(), "{text}\ncells: {}", out.display()).context("cannot print the result")
}

/// The defaults of the settings that a recipe leaves out, from the recipe that documents them all: other defaults make other cells.
fn defaults(workspace: &Workspace) -> Result<String> {
    let path = workspace.root().join("configs/train/patchcore.toml");
    let text = files::read(&path)?;
    Ok(text.lines().filter(|line| line.starts_with("# ") && line.contains(" = ")).collect())
}

/// Every row of the table, products and draws in the order of the command line.
fn plan(args: &Args, systems: &[System], others: &str) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = Vec::new();
    let is_reference = |system: &System| systems.first().is_some_and(|first| first.name == system.name);
    for data in &args.data {
        let data = existing(data)?;
        let product = data.file_name().context("--data must be a folder with a name")?.to_string_lossy().into_owned();
        if plans.iter().any(|plan| plan.product == product) {
            bail!("{}: --data names two products {product:?}: cells are told apart by the folder's name", data.display());
        }
        let images = format!("images {:016x}", fnv(&listing(&data, &data)?));
        for (split, samples, truth) in draws(args) {
            for system in systems {
                let mut group = String::new();
                let mut seeds = Vec::new();
                for seed in 0..args.seeds {
                    let mut draw = Draw::new(split, samples, truth, (&data, seed))?;
                    if !draw.suits(system) && is_reference(system) && !args.truth.contains(&Truth::Masks) {
                        draw = Draw::new(split, samples, Truth::Masks, (&data, seed))?;
                    }
                    group = draw.group.clone();
                    if !draw.suits(system) {
                        continue;
                    }
                    let recipe = draw.applied_to(&system.recipe)?;
                    let inputs = format!("recipe {:016x} {others} {images}", fnv(&recipe));
                    let (name, system) = (product.clone(), system.name.clone());
                    seeds.push(Wanted { data: data.clone(), name, seed, system, split: draw.label, recipe, inputs });
                }
                if !seeds.is_empty() {
                    plans.push(Plan { product: product.clone(), draw: group, system: system.name.clone(), seeds });
                }
            }
        }
    }
    Ok(plans)
}

/// Names and sizes of all files in a folder, a line each.
fn listing(root: &Path, folder: &Path) -> Result<String> {
    let line = |path: PathBuf| match path.is_dir() {
        true => listing(root, &path),
        false => Ok(format!("{} {}\n", path.strip_prefix(root).unwrap_or(&path).display(), files::size(&path)?)),
    };
    files::list(folder)?.into_iter().map(line).collect()
}

fn draws(args: &Args) -> impl Iterator<Item = (Split, usize, Truth)> {
    let numbers = move |split| args.anomalous.iter().map(move |samples| (split, *samples));
    let truths = |(split, samples)| args.truth.iter().map(move |truth| (split, samples, *truth));
    args.split.iter().flat_map(move |split| numbers(*split)).flat_map(truths)
}

/// Both tables of the finished cells.
fn report(cells: &Cells, plans: &[Plan], reference: &str) -> Result<String> {
    let mut rows = Vec::new();
    let mut scores = Vec::new();
    for plan in plans {
        let found: Vec<_> = plan.seeds.iter().map(|wanted| cells.find(wanted)).collect::<Result<_>>()?;
        let (cells, images): (Vec<_>, Vec<_>) = found.into_iter().flatten().unzip();
        rows.push(Row { product: plan.product.clone(), draw: plan.draw.clone(), system: plan.system.clone(), cells });
        scores.push(images);
    }
    let mut compared = Vec::new();
    for (row, images) in rows.iter().zip(&scores) {
        // PatchCore's cell with masks stands for the one with labels.
        let draw = row.draw.trim_end_matches(LABELS_ONLY);
        let mut all = rows.iter().zip(&scores);
        let found = all.find(|(of, _)| (&of.product, of.draw.as_str(), of.system.as_str()) == (&row.product, draw, reference));
        let Some((_, of)) = found.filter(|_| row.system != reference) else { continue };
        if of.len() == images.len() {
            let seeds: Vec<_> = of.iter().cloned().zip(images.iter().cloned()).collect();
            let differences = paired::compare(&seeds)?;
            let Row { product, draw, system, .. } = row;
            compared.push(Compared { product: product.clone(), draw: draw.clone(), system: system.clone(), differences });
        }
    }
    let mut text = table::table(&rows, reference);
    if !compared.is_empty() {
        text += &format!("\n{}", table::differences(&compared, reference));
    }
    Ok(text)
}
