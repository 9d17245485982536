//! `cargo xtask bench service`: what the camera's program needs: memory, time to the first verdict, size, and where a frame's time goes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use crate::binaries::Build;
use crate::figures::Latency;
use crate::workspace::Workspace;
use crate::{process, replay, setup};

/// Measure the camera's program as a camera gets it (release build, stripped), with a bundle learned from the images.
///
/// The release build takes some minutes the first time.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a product's images, MVTec's layout
    #[arg(long)]
    data: PathBuf,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: PathBuf,
    /// Recipe; default: configs/train/whole.toml
    #[arg(long)]
    config: Option<PathBuf>,
    /// Threads of backbone and search
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Starts of the service; the figures are medians over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    threads: usize,
    binary_mib: f64,
    bundle_mib: f64,
    /// From starting `apc-runtime run` to the line with its first verdict.
    first_verdict_ms: f64,
    /// Largest resident memory of `apc-runtime run`.
    peak_resident_mib: f64,
    /// Median of `apc-runtime bench`: everything after the backbone over the backbone.
    after_backbone_share: f64,
    backbone_ms: f64,
    total_ms: f64,
}

/// What is read of `apc-runtime bench --json`.
#[derive(Deserialize)]
struct Bench {
    stages_ms: Stages,
    after_backbone_share: f64,
}

#[derive(Deserialize)]
struct Stages {
    backbone: Latency,
    total: Latency,
}

/// Frames that one start of the service judges, and how many a second.
const FRAMES: usize = 24;
const RATE: f64 = 5.0;
const MIB: f64 = (1 << 20) as f64;

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let existing = |path: &Path| path.canonicalize().with_context(|| format!("cannot find {}", path.display()));
    let (data, weights) = (existing(&args.data)?, existing(&args.weights)?);
    let recipe = existing(&args.config.clone().unwrap_or_else(|| workspace.root().join("configs/train/whole.toml")))?;
    let everything = Build::of_everything(workspace, &setup::prepare(workspace)?)?;
    let packaged = Build::as_packaged(workspace)?;
    let program = packaged.program("apc-runtime")?;
    let trial = Trial::new(&everything, &data, workspace.cache().join("bench/service"))?;
    trial.train(&recipe, &weights, 0)?;
    trial.export()?;

    let config = configure(&trial, &data)?;
    let (mut first, mut peak) = (Vec::new(), Vec::new());
    for _ in 0..args.starts {
        let mut service = Command::new(program);
        service.args(["run", "--threads", &args.threads.to_string(), "--config"]).arg(&config);
        let started = Instant::now();
        let mut verdict = None;
        let on_line = |_: &str| {
            verdict.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1e3);
        };
        let usage = process::measure_with_lines(&mut service, "the camera service failed", on_line)?;
        first.push(verdict.context("the camera service gave no verdict")?);
        peak.push(usage.peak_memory as f64 / MIB);
    }
    let mut bench = Command::new(program);
    bench.args(["bench", "--json", "--threads", &args.threads.to_string(), "--model"]).arg(trial.bundle());
    let text = process::output_of(&mut bench, "cannot measure the bundle")?;
    let bench: Bench = serde_json::from_str(&text).with_context(|| format!("not what `bench --json` prints: {text}"))?;
    let report = Report {
        threads: args.threads,
        binary_mib: size(program)?,
        bundle_mib: size(&trial.bundle())?,
        first_verdict_ms: median(first),
        peak_resident_mib: median(peak),
        after_backbone_share: bench.after_backbone_share,
        backbone_ms: bench.stages_ms.backbone.p50,
        total_ms: bench.stages_ms.total.p50,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("cannot write JSON")? + "\n",
        false => table(&report),
    };
    write!(io::stdout(), "{text}").context("cannot print the result")
}

/// A replay of good images.
fn configure(trial: &Trial<'_>, data: &Path) -> Result<PathBuf> {
    let folder = [data.join("test/good"), data.join("good")].into_iter().find(|folder| folder.is_dir());
    let folder = folder.with_context(|| format!("{} holds no good images", data.display()))?;
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut images: Vec<PathBuf> =
        entries.with_context(|| format!("cannot list {}", folder.display()))?.iter().map(fs::DirEntry::path).collect();
    images.sort();
    images.truncate(FRAMES);
    let images: Vec<&Path> = images.iter().map(PathBuf::as_path).collect();
    replay::configure(&trial.bundle().with_extension("toml"), &trial.bundle(), &images, RATE)
}

fn size(path: &Path) -> Result<f64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len() as f64 / MIB)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(report: &Report) -> String {
    let rows = [
        ("binary, MiB", report.binary_mib, 1),
        ("bundle, MiB", report.bundle_mib, 1),
        ("start to first verdict, ms", report.first_verdict_ms, 0),
        ("peak resident memory, MiB", report.peak_resident_mib, 0),
        ("after backbone / backbone", report.after_backbone_share, 3),
        ("backbone p50, ms", report.backbone_ms, 1),
        ("frame p50, ms", report.total_ms, 1),
    ];
    let mut text = format!("{:30}{}\n", "threads", report.threads);
    rows.iter().for_each(|(name, value, digits)| text += &format!("{name:30}{value:.digits$}\n"));
    text
}
