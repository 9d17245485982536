use verdict::{Outcome, Output, ScoredVerdict, Verdict, VerdictLine};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use detector::Detector;
use log::{debug, error, info, trace, warn};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Answer, output, set_threads, start_log};
use crate::assembly::detectors::{self, Products};
use crate::camera::{Camera, Replay, Source};
use config::CameraConfig;
use config::Binding;
use config::Config;
use config::STANDARD_OUTPUT;
use config::SourceConfig;
use crate::line::Decision;
use crate::live::clock::Clock;
use crate::live::progress::{Progress, Worker};
use crate::live::service::{self, Service};
use crate::live::{LineLink, LineThread, News, Pipeline, Products, Report, Summary};

/// Without a line, a thread that makes no progress for so long has hung.
const STALL: Duration = Duration::from_secs(10);

/// Judge what a line's source delivers, live
///
/// Prints one JSON object per verdict, as the configuration says. Ends when the source ends, or on SIGTERM or SIGINT: the frame that is
/// being judged is finished, those that wait are `unknown` (reason `stopped`). A second signal ends it at once, with exit code 2.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration; see configs/line/replay.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Use this bundle instead of the configuration's
    #[arg(long, value_name = "NAME.apc")]
    bundle: Option<PathBuf>,
}

pub(super) fn run(args: &Args, threads: Option<usize>) -> Result<Answer> {
    let mut config = Config::read(&args.config)?;
    if let Some(bundle) = &args.bundle {
        ensure!(
            products::bundles(&config).len() == 1,
            "--bundle replaces one bundle, but views and recipes of the line name several"
        );
        config.detector.bundle.clone_from(bundle);
    }
    start_log(config.log.level.filter())?;
    set_threads(threads.unwrap_or(config.detector.threads))?;
    let stop = stop_on_signals()?;
    let mut lines = open_output(&config.output.verdicts)?;
    let mut detectors = start(&config)?;
    let products = Products::of(&config, &detectors)?;
    products.thresholds().for_each(|told| info!("{told}"));
    let (look, judge) = products::halves(&products, &mut detectors);

    let views = config.view_names();
    let progress = Progress::new(Clock::start(), views.len());
    let product = config.first_product();
    let link = config.line.as_ref().map(|settings| LineLink::new(settings, product, &progress)).transpose();
    let link = link.context("cannot start the line")?;
    // After the detector: a camera that streams meanwhile would only fill its queue. Before the line: a camera may need seconds, and a trigger
    // that came meanwhile would be told too late.
    let sources = views.iter().map(|view| open_source(&config, view, product)).collect::<Result<Vec<_>>>()?;
    let mut pipeline = Pipeline::new(&config.frames, &progress, &stop);
    let mut workers: Vec<_> = (0..views.len()).map(Worker::Capture).chain([Worker::Detector]).collect();
    let (mut line_thread, mut stall) = (None, STALL);
    if let Some((settings, link)) = config.line.as_ref().zip(link.as_ref()) {
        line_thread = Some(LineThread::new(settings, products(&config), link)?);
        pipeline = pipeline.on_line(link, settings);
        workers.push(Worker::Line);
        stall = settings.stall;
        if settings.simulated {
            warn!("line.simulated: no GPIO line is driven");
        }
    }
    let mut record = config.line.as_ref().and_then(|settings| settings.record.as_deref()).map(open_output).transpose()?;

    let mut service = Service::ready(&progress, &workers, stall);
    let mut told = Summary::default();
    let tell = |news: News<'_>| {
        let since_1970 = |at: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            now.saturating_sub(progress.clock().now().saturating_sub(at))
        };
        match news {
            News::Outcome(outcome) => {
                log(outcome, &products);
                told.add(outcome);
                let captured = since_1970(outcome.ticket.captured);
                serde_json::to_writer(&mut lines, &VerdictLine::new(outcome, |ticket| products.judged_by(ticket), captured))?;
                lines.write_all(b"\n")?;
                lines.flush()
            }
            News::Line(report) => match (&mut record, report) {
                (Some(record), Report::Output { output, active, at }) => {
                    let at = since_1970(at).as_secs_f64();
                    serde_json::to_writer(&mut *record, &OutputLine { output, active, at })?;
                    record.write_all(b"\n")?;
                    record.flush()
                }
                (_, report) => {
                    log_line(report, &products);
                    Ok(())
                }
            },
            News::Quiet { ending } => {
                service.tick(&told, ending);
                Ok(())
            }
        }
    };
    let (summary, result) = pipeline.run(sources, look, judge, line_thread, tell);
    service::stopping();
    info!("end: {summary}");
    if let Some(link) = &link {
        let ((bounces, frames), missed, lost) = (link.surplus(), link.missed(), link.lost());
        info!(
            "line: {missed} triggers missed; surplus: {bounces} bounces, {frames} frames that no part asked for; {lost} messages without \
             room"
        );
    }
    // Not a broken pipe that ends a command quietly: on a line, verdicts that nobody reads are a failure.
    result.map_err(|error| anyhow::Error::msg(output::describe(&error.into())))?;
    Ok(Answer::Done)
}

/// What the line thread must know of the recipes.
pub(super) fn recipes(config: &LineConfig) -> Recipes {
    Recipes {
        names: config.recipes.keys().cloned().collect(),
        codes: config.recipes.values().map(|recipe| recipe.code).collect(),
        first: config.first_recipe(),
    }
}

/// A view's source, on a recipe's settings.
pub(super) fn open_source(config: &LineConfig, view: &str, recipe: usize) -> Result<Box<dyn Source>> {
    let waits = config.line.as_ref().is_some_and(|line| line.trigger.sensor_waits);
    match config.view_source(view) {
        SourceConfig::Replay(replay) => {
            let mut replay = Replay::open(replay)?.with_recipe(recipe);
            if waits {
                replay.wait_for_triggers();
            }
            Ok(Box::new(replay))
        }
        SourceConfig::Camera(camera) => {
            ensure!(
                camera.triggered || !waits,
                "the line's trigger goes to the sensor, but the key triggered of {} is false: set it to true",
                camera.device.display()
            );
            // Where a trigger looks for its frame, it misses a lost one by itself.
            let each_is_a_part = config.frames.bind == Binding::Part && (config.line.is_none() || waits);
            let controls: Vec<_> = config.recipe_names().iter().map(|recipe| config.product(recipe, view).controls).collect();
            let camera = CameraConfig { controls: controls[recipe].clone(), ..camera.clone() };
            Ok(Box::new(Camera::open(&camera, each_is_a_part)?.with_recipes(controls, recipe)))
        }
    }
}

/// One line of the record of outputs.
#[derive(serde::Serialize)]
struct OutputLine {
    output: Output,
    active: bool,
    /// Seconds since 1970, UTC.
    at: f64,
}

fn log_line(report: Report, products: &Products) {
    match report {
        Report::Recipe(recipe) => info!("product {} from now on", products.recipe(recipe)),
        Report::Missed(missed) => {
            error!("triggers came faster than they could be read: {missed} parts passed without being seen")
        }
        Report::Settled(Settled { part, found: Found::Unknown(reason), disposition, .. }) => {
            warn!("part {part}: unknown at the actuator, {}: {disposition:?}", reason.word());
        }
        Report::Settled(Settled { part, found, disposition, .. }) => debug!("part {part}: {found:?}, {disposition:?}"),
        Report::Output { output, active, .. } => {
            trace!("output {}: {}", output.word(), if active { "active" } else { "inactive" });
        }
        Report::Stopped(cause) => error!("the stop output is active: {cause}"),
        Report::Late(part) => debug!("part {part}: its answer came too late"),
        Report::OutputFailed(output) => error!("the output {} cannot be set", output.word()),
        Report::InputFailed => error!("the inputs cannot be read"),
    }
}

/// The bundles' files are dropped here: the detectors hold what they need.
fn start(config: &LineConfig) -> Result<Vec<Detector>> {
    let mut detectors = Vec::new();
    for path in products::bundles(config) {
        let (bundle, detector) = products::start(&path, config)?;
        let (engine, network) = (detector.engine, detector.network());
        let (name, id) = (&bundle.manifest.detector.name, &bundle.id);
        let (difference, threads) = (detector.self_test_difference, rayon::current_num_threads());
        info!(
            "start: bundle {name} ({id}), engine {engine}, {network}, self-test difference {difference:.1e}, {threads} threads"
        );
        detectors.push(detector);
    }
    Ok(detectors)
}

fn log(outcome: &Outcome, products: &Products) {
    let (sequence, source) = (outcome.ticket.sequence, &outcome.ticket.source);
    let threshold = products.judged_by(&outcome.ticket).threshold.unwrap_or(f32::NAN);
    let verdict = outcome.judgement.verdict();
    match &outcome.judgement {
        Judgement::Scored { score, anomalous: true } => {
            info!("{sequence} {source}: {verdict}, score {score:.4} above {threshold:.4}");
        }
        Judgement::Scored { score, .. } => debug!("{sequence} {source}: {verdict}, score {score:.4} of {threshold:.4}"),
        Judgement::Unknown { reason, detail } if detail.is_empty() => {
            warn!("{sequence} {source}: {verdict}, {}", reason.word());
        }
        Judgement::Unknown { reason, detail } => warn!("{sequence} {source}: {verdict}, {}: {detail}", reason.word()),
    }
}

/// A flag that the first signal sets; the second signal ends the process, should it hang.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop)).context("cannot listen to signals")?;
        flag::register(signal, Arc::clone(&stop)).context("cannot listen to signals")?;
    }
    Ok(stop)
}

fn open_output(path: &Path) -> Result<Box<dyn Write>> {
    if path.as_os_str() == STANDARD_OUTPUT {
        return Ok(Box::new(io::BufWriter::new(io::stdout())));
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot open {} for verdicts", path.display()))?;
    Ok(Box::new(io::BufWriter::new(file)))
}
