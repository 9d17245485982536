//! `cargo xtask bench product`: accuracy, training time and memory on one product, over several seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::evaluate::Figures;
use detector::files::write_atomic;
use detector::run::Run;
use serde::{Deserialize, Serialize};

use super::trial::{Trial, commit};
use crate::binaries::{Build, Targets};
use crate::figures::show;
use crate::files::{self, existing, sha256, size};
use crate::setup;
use crate::workspace::Workspace;

/// Train, export and evaluate a product once per seed, and print the figures.
///
/// Results are kept as JSON: a seed that is there already is not done again.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the images
    #[arg(long)]
    data: PathBuf,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: PathBuf,
    /// Recipe; default: configs/train/patchcore.toml
    #[arg(long)]
    config: Option<PathBuf>,
    /// Seeds 0, 1, ...
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// File that keeps the results; default: in .cache/bench, by product and recipe
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure every seed again
    #[arg(long)]
    fresh: bool,
}

/// The file of results.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Results {
    /// Results of other inputs are dropped.
    inputs: Inputs,
    seeds: BTreeMap<u64, Seed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inputs {
    data: PathBuf,
    weights_sha256: String,
    recipe_sha256: String,
}

/// The results of one seed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seed {
    /// Commit of the checkout.
    commit: String,
    /// Figures of the bundle: int8 bank, as the camera runs it.
    int8: Figures,
    /// Figures of the run: f32 bank, with libtorch.
    f32: Figures,
    /// Size of the bundle's bank in bytes.
    int8_bank: u64,
    /// Size of the run's bank in bytes.
    f32_bank: u64,
    /// The trainer from start to end.
    train_seconds: f64,
    /// Stages of the training, as the run lists them.
    stage_seconds: BTreeMap<String, f64>,
    /// Largest resident memory of the trainer in bytes.
    train_peak_memory: u64,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let bench = Bench::new(workspace, args)?;
    let mut results = bench.results(args.fresh)?;
    let missing: Vec<u64> = (0..args.seeds).filter(|seed| !results.seeds.contains_key(seed)).collect();
    if !missing.is_empty() {
        let libtorch = setup::prepare(workspace)?;
        let build = Build::of(workspace, &libtorch, Targets::Programs)?;
        let commit = commit(workspace);
        for seed in missing {
            eprintln!("bench: seed {seed}");
            results.seeds.insert(seed, bench.measure(&build, seed, &commit)?);
            bench.keep(&results)?;
        }
    }
    results.seeds.retain(|seed, _| *seed < args.seeds);
    writeln!(io::stdout(), "{}results: {}", table(&results.seeds), bench.json.display()).context("cannot print the result")
}

struct Bench {
    inputs: Inputs,
    weights: PathBuf,
    recipe: PathBuf,
    json: PathBuf,
    /// Folder for runs and bundles, which are not kept.
    scratch: PathBuf,
}

impl Bench {
    fn new(workspace: &Workspace, args: &Args) -> Result<Self> {
        let data = existing(&args.data)?;
        let weights = existing(&args.weights)?;
        let patchcore = || workspace.root().join("configs/train/patchcore.toml");
        let recipe = existing(&args.config.clone().unwrap_or_else(patchcore))?;
        let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let title = format!("{}-{}-{}", name(&data), name(&recipe), name(&weights));
        let folder = workspace.cache().join("bench");
        let json = args.json.clone().unwrap_or_else(|| folder.join(&title).with_extension("json"));
        let json = std::path::absolute(json).context("--json is not a path")?;
        let inputs = Inputs { data, weights_sha256: sha256(&weights)?, recipe_sha256: sha256(&recipe)? };
        Ok(Self { inputs, weights, recipe, json, scratch: folder.join(title) })
    }

    /// Results of earlier benches with the same inputs; a file with other content is an error.
    fn results(&self, fresh: bool) -> Result<Results> {
        let none = || Results { inputs: self.inputs.clone(), seeds: BTreeMap::new() };
        if !self.json.exists() {
            return Ok(none());
        }
        let kept: Results = serde_json::from_str(&files::read(&self.json)?).with_context(|| {
            format!("{}: not the results of this version's bench; remove it, or name another --json", self.json.display())
        })?;
        Ok(if fresh || kept.inputs != self.inputs { none() } else { kept })
    }

    fn keep(&self, results: &Results) -> Result<()> {
        let text = serde_json::to_string_pretty(results).context("cannot write the results as JSON")?;
        files::make_folder(self.json.parent().unwrap_or(Path::new(".")))?;
        // A bench that is killed meanwhile must not lose hours.
        write_atomic(&self.json, (text + "\n").as_bytes()).map_err(anyhow::Error::msg)
    }

    fn measure(&self, build: &Build, seed: u64, commit: &str) -> Result<Seed> {
        let trial = Trial::new(build, &self.inputs.data, self.scratch.clone())?;
        let usage = trial.train(&self.recipe, &self.weights, seed)?;
        Ok(Seed {
            commit: commit.to_owned(),
            f32: trial.evaluate_run()?,
            int8: trial.export_and_evaluate(None)?,
            int8_bank: size_in_tar(&trial.bundle(), "memory_bank.safetensors")?,
            f32_bank: size(&trial.run().join("bank.safetensors"))?,
            train_seconds: usage.seconds,
            stage_seconds: Run::open(&trial.run()).map_err(anyhow::Error::msg)?.info.seconds,
            train_peak_memory: usage.peak_memory,
        })
    }
}

fn size_in_tar(path: &Path, name: &str) -> Result<u64> {
    let find = || -> io::Result<Option<u64>> {
        for entry in tar::Archive::new(File::open(path)?).entries()? {
            let entry = entry?;
            if entry.path()?.as_os_str() == name {
                return Ok(Some(entry.size()));
            }
        }
        Ok(None)
    };
    let found = find().with_context(|| format!("cannot read {}", path.display()))?;
    found.with_context(|| format!("{} holds no {name}", path.display()))
}

/// A value of one seed as text.
type Column<'a> = (&'a str, Box<dyn Fn(&Seed) -> Option<f64>>, usize);

/// One row per figure, one column per seed, and the mean.
fn table(seeds: &BTreeMap<u64, Seed>) -> String {
    const MIB: f64 = (1 << 20) as f64;
    let difference = |seed: &Seed| Some((seed.int8.image_auroc? - seed.f32.image_auroc?).abs());
    let mut rows: Vec<Column<'_>> = vec![
        ("image AUROC, int8 bundle", Box::new(|seed| seed.int8.image_auroc), 4),
        ("image AUROC, f32 bank", Box::new(|seed| seed.f32.image_auroc), 4),
        ("difference", Box::new(difference), 5),
        ("pixel AUROC, int8 bundle", Box::new(|seed| seed.int8.pixel_auroc), 4),
        ("AUPRO (0.3), int8 bundle", Box::new(|seed| seed.int8.aupro), 4),
        ("f32 / int8 bank file size", Box::new(|seed| Some(seed.f32_bank as f64 / seed.int8_bank as f64)), 2),
        ("training, s", Box::new(|seed| Some(seed.train_seconds)), 1),
        ("training, peak memory, MiB", Box::new(|seed| Some(seed.train_peak_memory as f64 / MIB)), 0),
        ("scoring p50, ms", Box::new(|seed| Some(seed.int8.latency_ms.p50)), 1),
    ];
    let stages: BTreeSet<&String> = seeds.values().flat_map(|seed| seed.stage_seconds.keys()).collect();
    for stage in stages {
        let name = stage.clone();
        rows.push((stage, Box::new(move |seed| seed.stage_seconds.get(&name).copied()), 1));
    }
    let mut text = format!("{:28}", "");
    for seed in seeds.keys() {
        text += &format!("{:>10}", format!("seed {seed}"));
    }
    text += "      mean\n";
    for (name, value, digits) in rows {
        let values: Vec<Option<f64>> = seeds.values().map(value).collect();
        let known: Vec<f64> = values.iter().copied().flatten().collect();
        let mean = (known.len() == values.len() && !known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        text += &format!("{name:28}");
        for value in values.into_iter().chain([mean]) {
            text += &format!("{:>10}", show(value, digits));
        }
        text += "\n";
    }
    let commits: BTreeSet<&str> = seeds.values().map(|seed| seed.commit.as_str()).collect();
    text + &format!("measured at commit {}\n", commits.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_per_seed_and_the_mean() {
        let figures = |image_auroc| -> Figures {
            let text = format!(
                r#"{{"images":2,"good":1,"anomalous":1,"image_auroc":{image_auroc},"image_f1":1.0,"pixel_auroc":null,
                "pixel_f1":null,"aupro":null,"false_reject_rate":0.0,"miss_rate":0.0,"engine":"tract",
                "latency_ms":{{"p50":1.0,"p95":2.0,"p99":3.0}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let seed = |image_auroc| Seed {
            commit: "abc".into(),
            int8: figures(image_auroc),
            f32: figures(1.0),
            int8_bank: 100,
            f32_bank: 395,
            train_seconds: 10.0,
            stage_seconds: BTreeMap::from([("coreset".into(), 2.5)]),
            train_peak_memory: 1 << 30,
        };
        let text = table(&BTreeMap::from([(0, seed(0.9)), (1, seed(0.8))]));
        let row = |name: &str| {
            let row = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
            row[28..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("image AUROC, int8"), ["0.9000", "0.8000", "0.8500"]);
        assert_eq!(row("difference"), ["0.10000", "0.20000", "0.15000"]);
        assert_eq!(row("pixel AUROC"), ["-", "-", "-"]);
        assert_eq!(row("f32 / int8"), ["3.95", "3.95", "3.95"]);
        assert_eq!(row("training, peak"), ["1024", "1024", "1024"]);
        assert_eq!(row("coreset"), ["2.5", "2.5", "2.5"]);
    }
}
