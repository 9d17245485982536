//! `cargo xtask bench search`: the work of the search, its time, the least time on this processor, and how they grow with the bank.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::banks::Banks;
use crate::binaries::{Build, Targets};
use crate::files::{self, existing, install, list};
use crate::workspace::Workspace;
use crate::{process, setup};

/// Compare the search with this processor's roofline, with 1 % and 10 % banks of the images, and measure how a frame's time grows with
/// the number of training images, with 1 % banks of a rendered product.
///
/// Everything learned is kept in .cache/bench/search. ResNet-18, 256 px, two threads.
#[derive(clap::Args)]
pub struct Args {
    /// Images in MVTec's layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// ResNet-18's weights (safetensors)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Numbers of training images
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "100,200,400,800,1600")]
    growth: Vec<usize>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const BACKBONE: &str = "resnet18";
/// 1 % and 10 % of the patches of 209 images at 256 px, as in `bench peers`.
const BANKS: [usize; 2] = [2_140, 21_400];
/// Patches of a frame.
const PATCHES: usize = 32 * 32;
/// Test images whose patches are searched for.
const FRAMES: usize = 8;

#[derive(Serialize)]
struct Report {
    roofline: Vec<Measured>,
    growth: Vec<Grown>,
}

#[derive(Serialize)]
struct Grown {
    training_images: usize,
    #[serde(flatten)]
    measured: Measured,
}

/// The document of the example `roofline`.
#[derive(Serialize, Deserialize)]
struct Measured {
    kernel: String,
    network: String,
    vectors: usize,
    dims: usize,
    patches: usize,
    groups: f64,
    sketches: f64,
    compared: f64,
    network_ms: f64,
    after_network_ms: f64,
    search_ms: f64,
    peak_multiply_adds_per_second: f64,
    bytes_per_second: f64,
    brute: Work,
    work: Work,
}

#[derive(Serialize, Deserialize)]
struct Work {
    multiply_adds: f64,
    bytes: f64,
}

impl Measured {
    /// Milliseconds below which this processor cannot do the work: arithmetic or memory, whichever takes longer.
    fn roof_ms(&self, work: &Work) -> f64 {
        let arithmetic = work.multiply_adds / self.peak_multiply_adds_per_second;
        arithmetic.max(work.bytes / self.bytes_per_second) * 1e3
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let (data, weights) = (existing(&args.data)?, existing(&args.weights)?);
    let build = Build::of(workspace, &setup::prepare(workspace)?, Targets::Programs)?;
    let packaged = Build::as_packaged(workspace, &["roofline"])?;
    let folder = workspace.cache().join("bench/search");
    files::make_folder(&folder)?;
    let library = workspace.cache().join("onnxruntime/lib/libonnxruntime.so");
    let measure = |data: &Path, vectors: usize| -> Result<Measured> {
        let name = data.file_name().unwrap_or_default().to_string_lossy();
        let banks = Banks { build: &build, data, weights: &weights, backbone: BACKBONE, folder: &folder, name: &name };
        let bundle = banks.bundle(vectors)?;
        eprintln!("bench: {vectors} vectors of {name}");
        let mut roofline = Command::new(packaged.program("roofline")?);
        roofline.arg(bundle).arg(&library).args(frames(data)?);
        let text = process::output_of(&mut roofline, "cannot measure the search")?;
        serde_json::from_str(&text).with_context(|| format!("not what the example roofline prints: {text}"))
    };
    let mut report = Report { roofline: Vec::new(), growth: Vec::new() };
    for vectors in BANKS {
        report.roofline.push(measure(&data, vectors)?);
    }
    for &training_images in &args.growth {
        let rendered = folder.join(format!("rendered-{training_images}"));
        install(&rendered, "1", |partial| {
            let mut synth = Command::new(build.program("apc-trainer")?);
            synth.args(["synth", "--train", &training_images.to_string(), "--out"]).arg(partial);
            process::run_to_success(&mut synth, "cannot render images")
        })?;
        report.growth.push(Grown { training_images, measured: measure(&rendered, training_images * PATCHES / 100)? });
    }
    let text =
        if args.json { serde_json::to_string_pretty(&report).context("cannot write JSON")? + "\n" } else { tables(&report) };
    write!(io::stdout(), "{text}").context("cannot print the result")
}

/// Test images of all kinds, evenly spread.
pub fn frames(data: &Path) -> Result<Vec<PathBuf>> {
    let mut images: Vec<PathBuf> = Vec::new();
    for kind in list(&data.join("test"))? {
        images.extend(list(&kind)?);
    }
    anyhow::ensure!(images.len() >= FRAMES, "{}: {FRAMES} test images or more were expected, in MVTec's layout", data.display());
    Ok((0..FRAMES).map(|i| images[i * images.len() / FRAMES].clone()).collect())
}

fn tables(report: &Report) -> String {
    let mut text = String::from(
        "a frame's search against this processor's roofline (the roof is the larger of multiply-adds and bytes over what was measured)\n\
         | vectors | groups | sketches | compared in full | G multiply-adds, all pairs | done | roof, all pairs, ms | roof, done, ms | search, ms |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for found in &report.roofline {
        let each = |count: f64| count / found.patches as f64;
        let Measured { vectors, groups, sketches, compared, brute, work, search_ms, .. } = found;
        text += &format!(
            "| {vectors} | {:.0} | {:.0} | {:.1} | {:.2} | {:.3} | {:.2} | {:.2} | {search_ms:.2} |\n",
            each(*groups),
            each(*sketches),
            each(*compared),
            brute.multiply_adds / 1e9,
            work.multiply_adds / 1e9,
            found.roof_ms(brute),
            found.roof_ms(work),
        );
    }
    if let Some(found) = report.roofline.first() {
        text += &format!(
            "groups, sketches and vectors are those looked at for one of {} patches; kernel {}, {:.0} G multiply-adds/s; descriptors of {}\n",
            found.patches,
            found.kernel,
            found.peak_multiply_adds_per_second / 1e9,
            found.network,
        );
    }
    for found in &report.roofline {
        let (gigabytes, megabytes) = (found.bytes_per_second / 1e9, found.brute.bytes / 1e6);
        text += &format!("{} vectors ({megabytes:.1} MB): {gigabytes:.0} GB/s\n", found.vectors);
    }
    if !report.growth.is_empty() {
        text += "\nhow a frame grows with the training images, 1 % banks\n\
                 | training images | vectors | network, ms | after it, ms | both against the first |\n|---|---|---|---|---|\n";
    }
    let both = |grown: &Grown| grown.measured.network_ms + grown.measured.after_network_ms;
    for grown in &report.growth {
        let Grown { training_images, measured: Measured { vectors, network_ms, after_network_ms, .. } } = grown;
        let ratio = both(grown) / both(&report.growth[0]);
        text += &format!("| {training_images} | {vectors} | {network_ms:.1} | {after_network_ms:.1} | {ratio:.2} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(vectors: usize, after_network_ms: f64) -> Measured {
        Measured {
            kernel: "avx2".into(),
            network: "float on tract".into(),
            vectors,
            dims: 384,
            patches: 1024,
            groups: 1024.0,
            sketches: 2048.0,
            compared: 10240.0,
            network_ms: 4.0,
            after_network_ms,
            search_ms: 1.0,
            peak_multiply_adds_per_second: 1e11,
            bytes_per_second: 1e10,
            brute: Work { multiply_adds: 1e9, bytes: 1e6 },
            work: Work { multiply_adds: 1e7, bytes: 1e7 },
        }
    }

    #[test]
    fn the_roof_is_the_slower_of_arithmetic_and_memory() {
        let found = measured(2140, 2.0);
        assert_eq!((found.roof_ms(&found.brute), found.roof_ms(&found.work)), (10.0, 1.0));
    }

    #[test]
    fn growth_is_relative_to_the_first() {
        let grown = |training_images, after| Grown { training_images, measured: measured(training_images * 10, after) };
        let text = tables(&Report { roofline: vec![measured(2140, 2.0)], growth: vec![grown(100, 1.0), grown(1600, 3.5)] });
        assert!(text.contains("| 1600 | 16000 | 4.0 | 3.5 | 1.50 |"), "{text}");
        assert!(text.contains("| 2140 | 1 | 2 | 10.0 | 1.00 | 0.010 | 10.00 | 1.00 | 1.00 |"), "{text}");
    }
}
