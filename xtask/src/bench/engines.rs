//! `cargo xtask bench engines`: whether every engine and every form of the network gives the same scores and verdicts for the same images.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::binaries::{Build, Targets};
use crate::files::{existing, install, list, sha256};
use crate::workspace::Workspace;
use crate::{process, setup};

/// Score all test images on each of the CPU's engines with each form of the network, and compare with the float network on tract.
///
/// The bundle is learned once and kept in .cache/bench/engines. ResNet-18, 256 px, the whole picture.
#[derive(clap::Args)]
pub struct Args {
    /// Images in MVTec's layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// ResNet-18's weights (safetensors)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Engines and forms of the network; the others are compared with the first.
const CONTENDERS: [[&str; 2]; 4] = [["tract", "float"], ["ort-cpu", "float"], ["ort-cpu", "fused"], ["ort-cpu", "int8"]];

/// The document of `apc-runtime score --json`.
#[derive(Deserialize)]
struct Scores {
    threshold: f64,
    images: Vec<Score>,
}

#[derive(Deserialize)]
struct Score {
    score: f64,
    verdict: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Agreement {
    engine: String,
    network: String,
    images: usize,
    /// Largest relative difference of an image score.
    largest_difference: f64,
    /// Images with another verdict; each form of the network has its own threshold.
    flips: usize,
    /// Largest distance of a flipped image's score from tract's threshold, relative to the threshold; null without flips.
    furthest_flip: Option<f64>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let (data, weights) = (existing(&args.data)?, existing(&args.weights)?);
    let build = Build::of(workspace, &setup::prepare(workspace)?, Targets::Programs)?;
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    let folder = workspace.cache().join("bench/engines").join(&*name);
    let exporter = build.program("apc-export")?;
    let stamp = format!("{}\n{}\n{}\n", data.display(), sha256(&weights)?, sha256(exporter)?);
    install(&folder, &stamp, |partial| {
        let mut train = Command::new(build.program("apc-trainer")?);
        train.arg("train").arg("--config").arg(workspace.root().join("configs/train/whole.toml")).arg("--data").arg(&data);
        train.arg("--weights").arg(&weights).arg("--out").arg(partial.join("run"));
        process::run_to_success(&mut train, "cannot train")?;
        let mut export = Command::new(exporter);
        export.args(["bundle", "--fused", "--int8"]).arg(partial.join("run")).arg("-o").arg(partial.join("case.apc"));
        process::run_to_success(&mut export, "cannot export")
    })?;
    let mut images = Vec::new();
    for kind in list(&data.join("test"))? {
        images.extend(list(&kind)?);
    }
    let library = workspace.cache().join("onnxruntime/lib/libonnxruntime.so");
    let scores = |[engine, network]: [&str; 2]| -> Result<Scores> {
        eprintln!("bench: {} images on {engine}, {network} network", images.len());
        let mut score = Command::new(build.program("apc-runtime")?);
        score.args(["score", "--json", "--engine", engine, "--variant", network, "--onnxruntime"]).arg(&library);
        let text = process::output_of(score.arg("--model").arg(folder.join("case.apc")).args(&images), "cannot score")?;
        serde_json::from_str(&text).context("not what apc-runtime score --json prints")
    };
    let [reference, others @ ..] = CONTENDERS;
    let reference = scores(reference)?;
    let agreements: Vec<Agreement> =
        others.into_iter().map(|contender| agreement(contender, &reference, &scores(contender)?)).collect::<Result<_>>()?;
    let text = if args.json {
        serde_json::to_string_pretty(&agreements).context("cannot write JSON")? + "\n"
    } else {
        table(&agreements)
    };
    write!(io::stdout(), "{text}").context("cannot print the result")
}

fn agreement([engine, network]: [&str; 2], reference: &Scores, found: &Scores) -> Result<Agreement> {
    ensure!(reference.images.len() == found.images.len(), "{engine} scored another number of images");
    let pairs = || reference.images.iter().zip(&found.images);
    let flips: Vec<f64> =
        pairs().filter(|(a, b)| a.verdict != b.verdict).map(|(a, _)| (a.score / reference.threshold - 1.0).abs()).collect();
    Ok(Agreement {
        engine: engine.into(),
        network: network.into(),
        images: found.images.len(),
        largest_difference: pairs().map(|(a, b)| (a.score - b.score).abs() / a.score).fold(0.0, f64::max),
        flips: flips.len(),
        furthest_flip: flips.into_iter().reduce(f64::max),
    })
}

fn table(agreements: &[Agreement]) -> String {
    let mut text = String::from(
        "against the float network on tract\n\
         | engine | network | images | largest relative difference of the score | other verdicts | furthest of them from the threshold |\n\
         |---|---|---|---|---|---|\n",
    );
    for Agreement { engine, network, images, largest_difference, flips, furthest_flip } in agreements {
        let furthest = furthest_flip.map_or_else(|| "-".into(), |share| format!("{:.2} %", share * 100.0));
        text += &format!("| {engine} | {network} | {images} | {largest_difference:.1e} | {flips} | {furthest} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_and_differences_are_counted() {
        let scores = |values: [f64; 3]| Scores {
            threshold: 2.0,
            images: values
                .map(|score| Score { score, verdict: if score > 2.0 { "anomalous" } else { "good" }.into() })
                .into_iter()
                .collect(),
        };
        let found = agreement(["ort-cpu", "int8"], &scores([1.0, 1.99, 4.0]), &scores([1.0, 2.01, 4.4])).unwrap();
        assert_eq!((found.flips, found.images), (1, 3));
        assert!((found.largest_difference - 0.1).abs() < 1e-9 && (found.furthest_flip.unwrap() - 0.005).abs() < 1e-9);
    }
}
