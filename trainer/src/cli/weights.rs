use std::path::PathBuf;

use anyhow::Result;

use super::output::say;
use crate::weights::{Hub, fetch};

/// Published backbone weights.
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
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Command::Fetch { name, endpoint, cache } = &args.command;
    let path = fetch(name, &Hub { endpoint: endpoint.clone(), cache: cache.clone() })?;
    say(&path.display().to_string())
}
