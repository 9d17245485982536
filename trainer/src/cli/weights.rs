use std::path::PathBuf;

use anyhow::Result;
use detector::run::Run;

use super::output::say;
use crate::weights::{Hub, fetch, keep};

/// Backbone weights: published ones, and those of a run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fetch timm's ImageNet weights (resnet18, resnet34, resnet50, wide_resnet50_2) into the cache and print their path.
    Fetch {
        /// Name of the backbone.
        name: String,
        /// Another server than the public Hugging Face hub (or HF_ENDPOINT).
        #[arg(long)]
        endpoint: Option<String>,
        /// Another cache than the user's (or HF_HOME).
        #[arg(long)]
        cache: Option<PathBuf>,
    },
    /// Write the backbone of a run as weights for other trainings, in half precision.
    Keep {
        /// Folder of the run.
        run: PathBuf,
        /// The safetensors file; an existing one is replaced in one step.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(super) fn run(args: &Args) -> Result<()> {
    let path = match &args.command {
        Command::Fetch { name, endpoint, cache } => fetch(name, &Hub { endpoint: endpoint.clone(), cache: cache.clone() })?,
        Command::Keep { run, out } => {
            keep(&Run::open(run)?, out)?;
            out.clone()
        }
    };
    say(&path.display().to_string())
}
