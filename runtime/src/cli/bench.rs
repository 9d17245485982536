use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use detector::bundle::Bundle;
use detector::evaluate::Latency;
use detector::{Detector, files};

use super::answer::Answer;
use super::model_args::ModelArgs;
use super::{output, progress};
use crate::workbench::bench::{
    Candidate, Comparison, Course, Measurement, Overlapped, Pictures, Recommended, compare, measure, warm_up,
};
use crate::workbench::energy::Energy;
use crate::workbench::engine_in_use::EngineInUse;

/// Measure how fast a bundle is on this machine
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures to score (the first 16 of the folder), resized as live [default: the bundle's reference pictures, which are already at
    /// the network's size]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Frames to score
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    frames: u32,
    /// Milliseconds without work before each frame, as on a line whose parts come one by one
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause: u64,
    /// Measure every engine of --engine with every network of the bundle, in turn, and recommend the fastest that passes its self-test
    #[arg(long, conflicts_with_all = ["picture", "pause", "on_request"])]
    compare: bool,
    /// Also write a picture of the stages
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// For `cargo xtask bench peers`: print "ready", then score a frame for each line on standard input and print its milliseconds
    #[arg(long, hide = true)]
    on_request: bool,
}

pub(super) fn run(args: &Args, start: Instant) -> Result<Answer> {
    if args.compare {
        return run_compare(args);
    }
    let (bundle, mut detector) = args.model.start()?;
    let pictures = pictures(args, &bundle)?;
    // Its memory would count.
    drop(bundle);
    if args.on_request {
        return serve(&mut detector, &pictures);
    }
    let course = Course { start, frames: args.frames, pause: Duration::from_millis(args.pause) };
    let measurement = progress::with_bar("bench", args.frames as usize, |step| measure(&mut detector, &pictures, course, step))?;
    if let Some(path) = &args.picture {
        files::write_atomic(path, measurement.picture().as_bytes())?;
    }
    if args.json {
        output::print_json(&measurement)?
    } else {
        output::print(&table(&measurement))?
    }
    Ok(Answer::Done)
}

fn run_compare(args: &Args) -> Result<Answer> {
    let bundle = Bundle::read(&args.model.model)?;
    let (pictures, setup) = (pictures(args, &bundle)?, args.model.start.setup());
    let comparison =
        progress::with_bar("bench", args.frames as usize, |step| compare(&bundle, &setup, &pictures, args.frames, step))?;
    if args.json {
        output::print_json(&comparison)?
    } else {
        output::print(&comparison_table(&comparison))?
    }
    Ok(Answer::Done)
}

fn pictures(args: &Args, bundle: &Bundle) -> Result<Pictures> {
    Ok(match &args.images {
        Some(folder) => Pictures::of_folder(folder, bundle)?,
        None => Pictures::of_bundle(bundle)?,
    })
}

/// Scores the frame whose number comes in, warm and otherwise idle, while other programs take their turns.
fn serve(detector: &mut Detector, pictures: &Pictures) -> Result<Answer> {
    warm_up(detector, pictures)?;
    output::print("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        let frame = line.parse().with_context(|| format!("{line:?} on standard input: the number of a frame was expected"))?;
        let start = Instant::now();
        pictures.score(detector, frame)?;
        output::print(&(start.elapsed().as_secs_f64() * 1e3).to_string())?;
    }
    Ok(Answer::Done)
}

fn table(measurement: &Measurement) -> String {
    let stages = &measurement.stages_ms;
    let mut lines = vec![format!("{:16}  {:>9}  {:>9}  {:>9}", "stage, ms", "p50", "p95", "p99")];
    let rows = [
        ("preprocess", stages.preprocess),
        ("backbone", stages.backbone),
        ("after backbone", stages.after_backbone),
        ("total", stages.total),
    ];
    lines.extend(rows.map(|(name, Latency { p50, p95, p99 })| format!("{name:16}  {p50:9.2}  {p95:9.2}  {p99:9.2}")));
    let mib = |value: Option<f64>| value.map_or("?".to_string(), |value| format!("{value:.0} MiB"));
    lines.push(format!("after the backbone: {:.1} % of the backbone", measurement.after_backbone_share * 100.0));
    let Overlapped { frames_per_second, latency_ms } = &measurement.overlapped;
    lines.push(format!(
        "frames per second: {:.1}; with the network ahead of the search, as in the service: {frames_per_second:.1}, each within {:.2} ms (p95)",
        measurement.frames_per_second, latency_ms.p95
    ));
    lines.push(format!("resident memory: {}, peak {}", mib(measurement.resident_mib), mib(measurement.peak_resident_mib)));
    lines.push(match (&measurement.energy, measurement.joules_per_frame) {
        (Some(Energy { source, watts, .. }), Some(joules)) => format!("energy: {joules:.3} J a frame, {watts:.1} W ({source})"),
        _ => "energy: the kernel shows no counter or sensor to this user".into(),
    });
    lines.push(format!("start to first verdict: {:.0} ms", measurement.start_to_first_verdict_ms));
    let EngineInUse { engine, variant, second_look, .. } = &measurement.engine;
    let second = if second_look.is_some() { ", float near the threshold" } else { "" };
    let (threads, frames) = (measurement.threads, measurement.frames);
    lines.push(format!("engine {engine}, {variant} network{second}, {threads} threads, {frames} frames"));
    lines.join("\n")
}

fn comparison_table(comparison: &Comparison) -> String {
    let mut lines =
        vec![format!("{:9} {:8} {:>9} {:>9} {:>9} {:>12}", "engine", "network", "p50, ms", "p95, ms", "backbone", "self-test")];
    for candidate in &comparison.candidates {
        let Candidate { engine, variant, .. } = candidate;
        lines.push(match (&candidate.total_ms, candidate.backbone_p50_ms, candidate.self_test_difference) {
            (Some(total), Some(backbone), Some(difference)) => {
                format!("{engine:9} {variant:8} {:9.2} {:9.2} {backbone:9.2} {difference:12.1e}", total.p50, total.p95)
            }
            _ => format!("{engine:9} {variant:8} {}", candidate.problem.as_deref().unwrap_or_default()),
        });
    }
    let Recommended { engine, variant } = &comparison.recommended;
    lines.push(format!("recommended here: engines = [\"{engine}\"], variant = \"{variant}\""));
    lines.push(format!("{} threads, {} frames, candidates in turn", comparison.threads, comparison.frames));
    lines.join("\n")
}
