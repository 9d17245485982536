use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Result;

use super::output::say;
use crate::progress::Progress;
use crate::synth::{SynthOptions, render_set};

/// Render a small product set in MVTec's layout: a machined part with exact masks of its defects.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the data set, new or empty.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    options: SynthOptions,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let options = &args.options;
    let progress = Mutex::new(Progress::new("rendering", options.train + options.good + options.anomalous));
    render_set(&args.out, options, &|done, _| {
        if let Ok(mut progress) = progress.lock() {
            progress.set(done);
        }
    })?;
    if let Ok(progress) = progress.into_inner() {
        progress.finish();
    }
    say(&args.out.display().to_string())
}
