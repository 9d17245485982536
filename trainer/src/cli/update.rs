use std::path::PathBuf;

use anyhow::Result;

use super::output::{rows, say};
use crate::interrupt::Interrupt;
use crate::update::{Comparison, UpdateOrder, update};

/// Add images to a run without starting over, and compare old and new on the images that neither has seen.
///
/// Good images widen what counts as good; anomalous ones teach the defect head (mode apc+). The old run stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Folder of the new images: good, anomalous and masks, or MVTec's layout; either kind may be missing.
    #[arg(long)]
    add: PathBuf,
    /// Folder of the run's images, if they have moved.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of the new run, new or empty.
    #[arg(long)]
    out: PathBuf,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Go on with an unfinished update, or repeat the comparison of a finished one.
    #[arg(long)]
    resume: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Args { run, add, data, out, device, resume, json } = args;
    let order = UpdateOrder {
        run: run.clone(),
        add: add.clone(),
        data: data.clone(),
        out: out.clone(),
        device: device.clone(),
        resume: *resume,
    };
    let comparison = update(&order, &Interrupt::listen()?)?;
    if *json {
        let (old, new) = comparison.map(|Comparison { old, new }| (old, new)).unzip();
        let document = serde_json::json!({ "old": old, "new": new });
        return say(&serde_json::to_string_pretty(&document)?);
    }
    match &comparison {
        Some(comparison) => print(comparison)?,
        None => say("both runs have seen all images: there is none to compare them on")?,
    }
    say(&format!("{}: export it with apc-export bundle when it is better", out.display()))
}

fn print(Comparison { old, new }: &Comparison) -> Result<()> {
    say(&format!("{:20} {:>28} {:>28}", "", "old", "new"))?;
    for ((name, old), (_, new)) in rows(old).into_iter().zip(rows(new)) {
        say(&format!("{name:20} {old:>28} {new:>28}"))?;
    }
    Ok(())
}
