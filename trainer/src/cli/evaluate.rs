use std::path::PathBuf;

use anyhow::Result;
use detector::run::Run;

use super::output::{rows, say};
use crate::evaluate::evaluate_run;

/// Figures of a run with libtorch and the float bank, on images that it has not seen.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Folder of the images; the run's own when absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let run = Run::open(&args.run)?;
    let data = args.data.as_ref().unwrap_or(&run.info.data);
    let (evaluation, calibration) = evaluate_run(&run, data, &args.device)?;
    let figures = evaluation.figures;
    if args.json {
        return say(&serde_json::to_string_pretty(&figures)?);
    }
    for (name, value) in rows(&figures) {
        say(&format!("{name:20} {value}"))?;
    }
    say(&format!("threshold            {:.4}", calibration.threshold))
}
