//! `cargo xtask bench peers`: this kit and anomalib's PatchCore, exported by itself, in one interleaved run.

mod contender;
mod ours;
mod prepare;
mod report;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{files, process};
use contender::{Contender, race};
use prepare::{Ground, Prepared, Weights};
use report::{Accuracy, Case, Report, Search, Spread};

/// Compare with anomalib's PatchCore (torch, ONNX Runtime, OpenVINO) and with faiss, in turns, two threads each.
///
/// The first run installs them (2.4 GB) into .cache/peers and trains one bundle for each case; both are kept. Everybody has the same
/// weights, the same memory bank and the same frames; ours is the program as it is packaged, on the engine that `apc-runtime bench --compare`
/// recommends. Only the ratios carry over to another machine.
#[derive(clap::Args)]
pub struct Args {
    /// Images in MVTec's layout [default: a rendered part; figures of accuracy are then left out]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Backbone weights; the file's name begins with the backbone's. A ResNet-50's are widened for the WideResNet-50-2 that has none
    /// [default: random, on whose features a search can skip much less than on learned ones]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    weights: Vec<PathBuf>,
    /// Only ResNet-18 with the small bank, few rounds, no accuracy
    #[arg(long)]
    quick: bool,
    /// Only cases of this backbone
    #[arg(long, value_name = "NAME", value_parser = ["resnet18", "wide_resnet50_2"])]
    backbone: Option<String>,
    /// Frames that each contender scores [default: 15, 5 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Also evaluate anomalib with a coreset of its own choice (10 minutes and more a case)
    #[arg(long)]
    own_coreset: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// 1 % and 10 % of the patches of 209 images at 256 px.
const BANKS: [usize; 2] = [2_140, 21_400];
const BACKBONES: [&str; 2] = ["resnet18", "wide_resnet50_2"];

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let ground = Ground::prepare(workspace, args.data.as_deref())?;
    let mut report = Report::default();
    report
        .notes
        .push("only ratios carry over to another machine; the table's times are of this one, with whatever else it did".into());
    let rounds = args.rounds.unwrap_or(if args.quick { 5 } else { 15 }) as usize;
    for backbone in BACKBONES {
        let chosen = args.backbone.as_deref().map_or(!args.quick || backbone == BACKBONES[0], |only| only == backbone);
        if !chosen {
            continue;
        }
        let weights = Weights::choose(&args.weights, backbone);
        report.notes.extend(weights.note(backbone));
        for bank in BANKS.into_iter().filter(|bank| !args.quick || *bank == BANKS[0]) {
            let prepared = ground.case(backbone, bank, weights)?;
            report.cases.push(end_to_end(&ground, &prepared, rounds)?);
            report.search.push(search(&ground, &prepared, rounds)?);
            if weights != Weights::Random && args.data.is_some() && !args.quick {
                report.accuracy.push(accuracy(&ground, &prepared, args.own_coreset)?);
            }
        }
    }
    let text =
        if args.json { serde_json::to_string_pretty(&report).context("cannot write JSON")? + "\n" } else { report.tables() };
    write!(io::stdout(), "{text}").context("cannot print the result")
}

fn end_to_end(ground: &Ground, case: &Prepared, rounds: usize) -> Result<Case> {
    let mut ours = Command::new(ground.packaged.program("apc-runtime")?);
    ours.args(["--threads", "2", "bench", "--on-request", "--model"]).arg(&case.bundle);
    case.ours.chosen(&mut ours).arg("--images").arg(case.peers.join("frames"));
    let mut contenders = vec![Contender::start("ours", &mut ours)?];
    for name in ["torch", "onnxruntime", "openvino"] {
        let mut serve = ground.script("serve.py");
        contenders.push(Contender::start(name, serve.arg(name).arg(&case.peers))?);
    }
    let times = race(&mut contenders, rounds)?;
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    Ok(Case::new(case, &names, &times))
}

fn search(ground: &Ground, case: &Prepared, rounds: usize) -> Result<Search> {
    let vectors = case.run.join("bank.safetensors");
    let found = case.peers.join("nearest-ours.json");
    let mut ours = Command::new(ground.packaged.program("search")?);
    ours.arg(&vectors).arg(case.peers.join("queries.safetensors")).arg(&found);
    let mut faiss = ground.script("serve.py");
    faiss.arg("faiss").arg(&case.peers).arg(&vectors);
    let mut contenders = [Contender::start("our search", &mut ours)?, Contender::start("faiss", &mut faiss)?];
    let times = race(&mut contenders, rounds.max(10))?;
    let nearest = |path: PathBuf| -> Result<Vec<u32>> {
        serde_json::from_str(&files::read(&path)?).with_context(|| format!("{}: no list of indices", path.display()))
    };
    let (ours, theirs) = (nearest(found)?, nearest(case.peers.join("nearest.json"))?);
    if ours.len() != theirs.len() || ours.is_empty() {
        bail!("the searches answered {} and {} queries", ours.len(), theirs.len());
    }
    let same = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours == theirs).count();
    let median = |times: &[f64]| Spread::of(times.to_vec()).median;
    Ok(Search {
        backbone: case.backbone.clone(),
        bank: case.bank,
        ours_ms: median(&times[0]),
        faiss_ms: median(&times[1]),
        ratio: Spread::of_ratios(&times[1], &times[0]),
        agreement: same as f64 / ours.len() as f64,
    })
}

fn accuracy(ground: &Ground, case: &Prepared, own_coreset: bool) -> Result<Accuracy> {
    #[derive(serde::Deserialize)]
    struct Evaluated {
        images: usize,
        image_auroc: f64,
    }
    let evaluated = |command: &mut Command, what: &str| -> Result<Evaluated> {
        let text = process::output_of(command, what)?;
        serde_json::from_str(&text).with_context(|| format!("{what}: no image AUROC in {text:?}"))
    };
    eprintln!("bench: accuracy of {} with {} vectors", case.backbone, case.bank);
    let mut evaluate = Command::new(ground.packaged.program("apc-runtime")?);
    evaluate.arg("evaluate").arg("--model").arg(&case.bundle).arg("--data").arg(&ground.data).arg("--json");
    let ours = evaluated(case.ours.chosen(&mut evaluate), "cannot evaluate our bundle")?;
    let peer = |share: Option<f64>| {
        let mut script = ground.script("accuracy.py");
        script.arg(&case.backbone).arg(&case.weights).arg(case.run.join("bank.safetensors")).arg(&ground.data);
        script.args(share.map(|share| format!("--own-coreset={share}")));
        evaluated(&mut script, "cannot evaluate the peer")
    };
    let theirs = peer(None)?;
    if theirs.images != ours.images {
        bail!("{} images were evaluated with our bundle, {} with the peer", ours.images, theirs.images);
    }
    let share = if case.bank == BANKS[0] { 0.01 } else { 0.1 };
    Ok(Accuracy {
        backbone: case.backbone.clone(),
        bank: case.bank,
        images: ours.images,
        ours: ours.image_auroc,
        peer: theirs.image_auroc,
        peer_own_coreset: own_coreset.then(|| peer(Some(share))).transpose()?.map(|own| own.image_auroc),
    })
}
