use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use detector::bundle::Bundle;
use detector::evaluate::Latency;
use detector::picture::Picture;
use detector::preprocess::Prepared;
use detector::scorer::Times;
use detector::{Detector, dataset, files};
use serde::Serialize;

use super::{Answer, Judged, Model, compare, output};
use crate::commissioning::memory;
use crate::workbench::energy::{Energy, Meter};
use crate::workbench::stage_bar;

/// Frames that are scored before the clock runs.
const WARM_UP: usize = 3;
/// Pictures that are held in memory.
const PICTURES_LIMIT: usize = 16;

/// Measure how fast a bundle is on this machine
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
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

#[derive(Serialize)]
struct Document {
    bundle: String,
    #[serde(flatten)]
    judged: Judged,
    threads: usize,
    frames: u32,
    pause_ms: u64,
    stages_ms: Stages,
    /// Median after the backbone over the backbone's median.
    after_backbone_share: f64,
    /// Frames one after the other, without pauses.
    frames_per_second: f64,
    /// As the service works: the network looks at a frame while the one before is judged.
    overlapped: Overlapped,
    /// Now and at most, MiB; null where the system does not say.
    resident_mib: Option<f64>,
    peak_resident_mib: Option<f64>,
    /// Of the whole machine during the frames; null where the kernel shows none to this user.
    energy: Option<Energy>,
    joules_per_frame: Option<f64>,
    /// From the start of the program: reading, verifying, self-test, first score.
    start_to_first_verdict_ms: f64,
}

/// Both halves of the detector at work at the same time.
#[derive(Serialize)]
struct Overlapped {
    frames_per_second: f64,
    /// Of one frame, from its first stage to its score.
    latency_ms: Latency,
}

#[derive(Serialize)]
struct Stages {
    preprocess: Latency,
    backbone: Latency,
    after_backbone: Latency,
    total: Latency,
}

pub(super) fn run(args: &Args, start: Instant) -> Result<Answer> {
    if args.compare {
        return compare(args);
    }
    let (bundle, mut detector) = args.model.start()?;
    let pictures = Pictures::open(args, &bundle)?;
    let id = bundle.id.clone();
    drop(bundle);
    let mut score = |frame| score(&mut detector, &pictures, frame);
    score(0)?;
    let start_to_first_verdict_ms = start.elapsed().as_secs_f64() * 1e3;
    for frame in 0..WARM_UP {
        score(frame)?;
    }
    if args.on_request {
        return serve(score);
    }
    let bar = output::progress("bench", args.frames as usize);
    let mut times = Vec::with_capacity(args.frames as usize);
    let mut meter = Meter::start(Path::new("/sys"));
    for frame in 0..args.frames as usize {
        thread::sleep(Duration::from_millis(args.pause));
        times.push(score(frame)?);
        if let Some(meter) = &mut meter {
            meter.sample();
        }
        bar.inc(1);
    }
    let busy: Duration = times.iter().map(Times::total).sum();
    let energy = meter.map(Meter::finish);
    bar.finish_and_clear();
    let stage = |of: fn(&Times) -> Duration| Latency::of(&times.iter().map(of).collect::<Vec<_>>());
    let stages_ms = Stages {
        preprocess: stage(|times| times.preprocess),
        backbone: stage(|times| times.backbone),
        after_backbone: stage(|times| times.after_backbone),
        total: stage(Times::total),
    };
    let overlapped = overlap(&mut detector, &pictures, args.frames as usize)?;
    let document = Document {
        bundle: id,
        judged: Judged::by(&detector),
        threads: rayon::current_num_threads(),
        frames: args.frames,
        pause_ms: args.pause,
        after_backbone_share: stages_ms.after_backbone.p50 / stages_ms.backbone.p50.max(f64::MIN_POSITIVE),
        stages_ms,
        frames_per_second: f64::from(args.frames) / busy.as_secs_f64(),
        overlapped,
        resident_mib: memory::of_process("VmRSS:"),
        peak_resident_mib: memory::of_process("VmHWM:"),
        joules_per_frame: energy.as_ref().map(|energy| energy.joules / f64::from(args.frames)),
        energy,
        start_to_first_verdict_ms,
    };
    if let Some(path) = &args.picture {
        let Stages { preprocess, backbone, after_backbone, .. } = &document.stages_ms;
        let stages = [("preprocess", *preprocess), ("backbone", *backbone), ("after backbone", *after_backbone)];
        let title = format!("one frame, engine {}, {} threads", document.judged.engine, document.threads);
        files::write_atomic(path, stage_bar::svg(&title, &stages).as_bytes())?;
    }
    if args.json {
        output::print_json(&document)?
    } else {
        output::print(&table(&document))?
    }
    Ok(Answer::Done)
}

fn compare(args: &Args) -> Result<Answer> {
    let bundle = Bundle::read(&args.model.model)?;
    let pictures = Pictures::open(args, &bundle)?;
    let comparison = compare::compare(&bundle, &args.model.setup(), &pictures, args.frames)?;
    if args.json {
        output::print_json(&comparison)?
    } else {
        output::print(&comparison.table())?
    }
    Ok(Answer::Done)
}

/// What is scored.
pub(super) enum Pictures {
    References(Vec<Prepared>),
    Read(Vec<Picture>),
}

impl Pictures {
    fn open(args: &Args, bundle: &Bundle) -> Result<Pictures> {
        let Some(folder) = &args.images else {
            let references = bundle.manifest.self_test.references.iter().take(PICTURES_LIMIT);
            return Ok(Pictures::References(references.map(|reference| bundle.reference(reference)).collect::<Result<_, _>>()?));
        };
        let paths = dataset::images(folder)?;
        if paths.is_empty() {
            bail!("{}: holds no image; PNG, JPEG, BMP or TIFF files were expected", folder.display());
        }
        let colour = bundle.manifest.input.colour;
        let read = |path: &PathBuf| {
            let picture = Picture::read(path)?;
            picture.expect_colour(colour, path).map(|()| picture)
        };
        Ok(Pictures::Read(paths.iter().take(PICTURES_LIMIT).map(read).collect::<Result<_, _>>()?))
    }
}

/// Scores the picture whose turn it is.
pub(super) fn score(detector: &mut Detector, pictures: &Pictures, frame: usize) -> Result<Times> {
    let scored = match pictures {
        Pictures::References(pictures) => detector.scorer().score_prepared(&pictures[frame % pictures.len()]),
        Pictures::Read(pictures) => detector.score(&pictures[frame % pictures.len()]),
    };
    Ok(scored.context("cannot score a picture")?.times)
}

/// Scores frames as the service does when they come as fast as they can be judged.
fn overlap(detector: &mut Detector, pictures: &Pictures, frames: usize) -> Result<Overlapped> {
    let (mut look, judge) = detector.stages();
    let (hand, handed) = sync_channel(1);
    let begin = Instant::now();
    let latencies = thread::scope(|scope| {
        let network = scope.spawn(move || -> Result<()> {
            for frame in 0..frames {
                let start = Instant::now();
                let looked = match pictures {
                    Pictures::References(pictures) => look.extract_prepared(&pictures[frame % pictures.len()]),
                    Pictures::Read(pictures) => look.extract(&pictures[frame % pictures.len()]),
                };
                // Nobody takes it only where judging has failed.
                if hand.send((start, looked.context("cannot look at a picture")?)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let judged = handed.iter().map(|(start, looked)| {
            judge.score(looked).context("cannot judge a picture")?;
            Ok(start.elapsed())
        });
        let latencies = judged.collect::<Result<Vec<Duration>>>();
        drop(handed);
        network.join().map_err(|_| anyhow!("the network's thread died: a fault of this program"))??;
        latencies
    })?;
    let frames_per_second = frames as f64 / begin.elapsed().as_secs_f64();
    Ok(Overlapped { frames_per_second, latency_ms: Latency::of(&latencies) })
}

/// Scores the frame whose number comes in, warm and otherwise idle, while other programs take their turns.
fn serve(mut score: impl FnMut(usize) -> Result<Times>) -> Result<Answer> {
    output::print("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        let frame = line.parse().with_context(|| format!("{line:?} on standard input: the number of a frame was expected"))?;
        let start = Instant::now();
        score(frame)?;
        output::print(&(start.elapsed().as_secs_f64() * 1e3).to_string())?;
    }
    Ok(Answer::Done)
}

fn table(document: &Document) -> String {
    let stages = &document.stages_ms;
    let mut lines = vec![format!("{:16}  {:>9}  {:>9}  {:>9}", "stage, ms", "p50", "p95", "p99")];
    let rows = [
        ("preprocess", stages.preprocess),
        ("backbone", stages.backbone),
        ("after backbone", stages.after_backbone),
        ("total", stages.total),
    ];
    lines.extend(rows.map(|(name, Latency { p50, p95, p99 })| format!("{name:16}  {p50:9.2}  {p95:9.2}  {p99:9.2}")));
    let mib = |value: Option<f64>| value.map_or("?".to_string(), |value| format!("{value:.0} MiB"));
    lines.push(format!("after the backbone: {:.1} % of the backbone", document.after_backbone_share * 100.0));
    let Overlapped { frames_per_second, latency_ms } = &document.overlapped;
    lines.push(format!(
        "frames per second: {:.1}; with the network ahead of the search, as in the service: {frames_per_second:.1}, each within {:.2} ms (p95)",
        document.frames_per_second, latency_ms.p95
    ));
    lines.push(format!("resident memory: {}, peak {}", mib(document.resident_mib), mib(document.peak_resident_mib)));
    lines.push(match (&document.energy, document.joules_per_frame) {
        (Some(Energy { source, watts, .. }), Some(joules)) => format!("energy: {joules:.3} J a frame, {watts:.1} W ({source})"),
        _ => "energy: the kernel shows no counter or sensor to this user".into(),
    });
    lines.push(format!("start to first verdict: {:.0} ms", document.start_to_first_verdict_ms));
    let Judged { engine, variant, second_look, .. } = &document.judged;
    let second = if second_look.is_some() { ", float near the threshold" } else { "" };
    lines.push(format!("engine {engine}, {variant} network{second}, {} threads, {} frames", document.threads, document.frames));
    lines.join("\n")
}
