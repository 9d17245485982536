//! `cargo xtask bench service`: memory, start, size and frame times of the camera's program.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use detector::evaluate::Latency;
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use crate::binaries::{Build, Targets};
use crate::files::{existing, list, size};
use crate::workspace::Workspace;
use crate::{process, replay, setup};

/// Measure the camera's program as a camera gets it (release build, stripped), with bundles learned from the images.
///
/// Several recipes are measured in turns, so that their costs can be compared. The release build takes some minutes the first time.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a product's images, MVTec's layout
    #[arg(long)]
    data: PathBuf,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: PathBuf,
    /// Recipe; may be given several times [default: configs/train/whole.toml]
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Threads of backbone and search
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Starts of the service and measurements of its frames; the figures are medians over them
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
    recipes: Vec<Needs>,
}

/// Needs of one recipe's bundle.
#[derive(Serialize)]
struct Needs {
    recipe: String,
    bundle_mib: f64,
    /// From the start of `apc-runtime run` to its first verdict line.
    first_verdict_ms: f64,
    /// Largest resident memory of `apc-runtime run`.
    peak_resident_mib: f64,
    /// Median of `apc-runtime bench`: everything after the backbone over the backbone.
    after_backbone_share: f64,
    backbone_ms: f64,
    total_ms: f64,
}

/// The keys that are read of `apc-runtime bench --json`.
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
    let (data, weights) = (existing(&args.data)?, existing(&args.weights)?);
    let default = workspace.root().join("configs/train/whole.toml");
    let recipes = if args.config.is_empty() { vec![default] } else { args.config.clone() };
    // A missing recipe must show before anything is built or learned.
    let recipes = recipes.iter().map(|recipe| existing(recipe)).collect::<Result<Vec<_>>>()?;
    let programs = Build::of(workspace, &setup::prepare(workspace)?, Targets::Programs)?;
    let packaged = Build::as_packaged(workspace, &[])?;
    let program = packaged.program("apc-runtime")?;
    let mut candidates = Vec::new();
    for (number, recipe) in recipes.iter().enumerate() {
        let name = recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let trial = Trial::new(&programs, &data, workspace.cache().join(format!("bench/service/{number}")))?;
        trial.train(recipe, &weights, 0)?;
        trial.export()?;
        let config = configure(&trial, &data)?;
        candidates.push(Candidate { name, trial, config, starts: Vec::new(), benches: Vec::new() });
    }
    for _ in 0..args.starts {
        for candidate in &mut candidates {
            candidate.start(program, args.threads)?;
            candidate.bench(program, args.threads)?;
        }
    }
    let recipes = candidates.iter().map(Candidate::needs).collect::<Result<_>>()?;
    let report = Report { threads: args.threads, binary_mib: mebibytes(program)?, recipes };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("cannot write JSON")? + "\n",
        false => table(&report),
    };
    write!(io::stdout(), "{text}").context("cannot print the result")
}

/// A recipe and the measurements of its bundle.
struct Candidate<'a> {
    name: String,
    trial: Trial<'a>,
    config: PathBuf,
    /// Milliseconds to the first verdict, and the largest resident memory in MiB.
    starts: Vec<(f64, f64)>,
    benches: Vec<Bench>,
}

impl Candidate<'_> {
    fn start(&mut self, program: &Path, threads: usize) -> Result<()> {
        let mut service = Command::new(program);
        service.args(["run", "--threads", &threads.to_string(), "--config"]).arg(&self.config);
        let started = Instant::now();
        let mut verdict = None;
        let on_line = |_: &str| {
            verdict.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1e3);
        };
        let usage = process::measure_with_lines(&mut service, "the camera service failed", on_line)?;
        let verdict = verdict.context("the camera service gave no verdict")?;
        self.starts.push((verdict, usage.peak_memory as f64 / MIB));
        Ok(())
    }

    fn bench(&mut self, program: &Path, threads: usize) -> Result<()> {
        let mut bench = Command::new(program);
        bench.args(["bench", "--json", "--threads", &threads.to_string(), "--model"]).arg(self.trial.bundle());
        let text = process::output_of(&mut bench, "cannot measure the bundle")?;
        self.benches.push(serde_json::from_str(&text).with_context(|| format!("not what `bench --json` prints: {text}"))?);
        Ok(())
    }

    fn needs(&self) -> Result<Needs> {
        let of_benches = |value: fn(&Bench) -> f64| median(self.benches.iter().map(value).collect());
        Ok(Needs {
            recipe: self.name.clone(),
            bundle_mib: mebibytes(&self.trial.bundle())?,
            first_verdict_ms: median(self.starts.iter().map(|start| start.0).collect()),
            peak_resident_mib: median(self.starts.iter().map(|start| start.1).collect()),
            after_backbone_share: of_benches(|bench| bench.after_backbone_share),
            backbone_ms: of_benches(|bench| bench.stages_ms.backbone.p50),
            total_ms: of_benches(|bench| bench.stages_ms.total.p50),
        })
    }
}

/// A replay of good images.
fn configure(trial: &Trial<'_>, data: &Path) -> Result<PathBuf> {
    let folder = [data.join("test/good"), data.join("good")].into_iter().find(|folder| folder.is_dir());
    let folder = folder.with_context(|| format!("{} holds no good images", data.display()))?;
    let mut images = list(&folder)?;
    images.truncate(FRAMES);
    let images: Vec<&Path> = images.iter().map(PathBuf::as_path).collect();
    replay::configure(&trial.bundle().with_extension("toml"), &trial.bundle(), &images, RATE)
}

fn mebibytes(path: &Path) -> Result<f64> {
    Ok(size(path)? as f64 / MIB)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A figure's name, its value and its digits.
type Row = (&'static str, fn(&Needs) -> f64, usize);

fn table(report: &Report) -> String {
    let rows: [Row; 6] = [
        ("bundle, MiB", |needs| needs.bundle_mib, 1),
        ("start to first verdict, ms", |needs| needs.first_verdict_ms, 0),
        ("peak resident memory, MiB", |needs| needs.peak_resident_mib, 0),
        ("after backbone / backbone", |needs| needs.after_backbone_share, 3),
        ("backbone p50, ms", |needs| needs.backbone_ms, 1),
        ("frame p50, ms", |needs| needs.total_ms, 1),
    ];
    let mut text = format!("{:30}{}\n{:30}{:.1}\n\n{:30}", "threads", report.threads, "binary, MiB", report.binary_mib, "");
    report.recipes.iter().for_each(|needs| text += &format!("{:>24}", needs.recipe));
    for (name, value, digits) in rows {
        text += &format!("\n{name:30}");
        for needs in &report.recipes {
            let (here, first) = (value(needs), value(&report.recipes[0]));
            text += &format!("{here:15.digits$} (x {:4.2})", here / first);
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_stand_beside_the_first() {
        let needs = |recipe: &str, factor: f64| Needs {
            recipe: recipe.into(),
            bundle_mib: 10.0 * factor,
            first_verdict_ms: 200.0,
            peak_resident_mib: 90.0,
            after_backbone_share: 0.1,
            backbone_ms: 20.0,
            total_ms: 22.0,
        };
        let report = Report { threads: 2, binary_mib: 19.0, recipes: vec![needs("whole", 1.0), needs("apc+", 1.1)] };
        let text = table(&report);
        assert!(text.contains("11.0 (x 1.10)") && text.contains("10.0 (x 1.00)") && text.contains("apc+"), "{text}");
    }
}
