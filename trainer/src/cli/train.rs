use std::path::PathBuf;

use anyhow::Result;

use super::output::say;
use crate::interrupt::Interrupt;
use crate::recipe::Recipe;
use crate::train::{Order, train};

/// Learn a product and write a run.
///
/// Ctrl-C stops the training and keeps a checkpoint; --resume goes on from it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recipe (configs/train/*.toml).
    #[arg(long)]
    config: PathBuf,
    /// Folder of the images, MVTec's layout or flat (good, anomalous, masks); wins over the recipe's data.root.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Pretrained weights: a safetensors file or a published name (see `weights`); wins over the recipe's.
    #[arg(long)]
    weights: Option<String>,
    /// Folder of the run, new or empty.
    #[arg(long)]
    out: PathBuf,
    /// Seed; wins over the recipe's.
    #[arg(long)]
    seed: Option<u64>,
    /// auto, cpu, cuda or cuda:N; wins over the recipe's.
    #[arg(long)]
    device: Option<String>,
    /// Go on with an unfinished run.
    #[arg(long)]
    resume: bool,
    /// Print the finished run's description as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut recipe = Recipe::read(&args.config)?;
    recipe.data.root = args.data.clone().or(recipe.data.root);
    recipe.backbone.weights = args.weights.clone().or(recipe.backbone.weights);
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    recipe.device = args.device.clone().unwrap_or(recipe.device);
    if args.resume && args.out.join("run.toml").exists() {
        return say(&format!("{}: this run is already finished", args.out.display()));
    }
    let order = Order { recipe, out: args.out.clone(), resume: args.resume };
    let info = train(&order, &Interrupt::listen()?)?;
    if args.json {
        return say(&serde_json::to_string_pretty(&info)?);
    }
    let seconds: Vec<String> = info.seconds.iter().map(|(stage, seconds)| format!("{stage} {seconds:.1} s")).collect();
    say(&format!("{}: {} run of {}, {}", args.out.display(), info.mode, info.name, seconds.join(", ")))
}
