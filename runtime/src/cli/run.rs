use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use detector::Detector;
use detector::picture::Picture;
use log::{debug, error, info, trace, warn};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Answer, output, set_threads, start_log};
use crate::camera::Camera;
use crate::clock::Clock;
use crate::config::line::Output;
use crate::config::{Binding, LineConfig, STANDARD_OUTPUT, SourceConfig};
use crate::line::{Found, LineLink, LineThread, Report, Settled};
use crate::pipeline::{Judgement, News, Outcome, Pipeline, Reason, Replay, Source, Summary, VerdictLine};
use crate::progress::{Progress, Worker};
use crate::service::{self, Service};
use crate::state::{models, site};

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
    let config = LineConfig::read(&args.config)?;
    start_log(config.log.level.filter())?;
    set_threads(threads.unwrap_or(config.detector.threads))?;
    let stop = stop_on_signals()?;
    let mut lines = open_output(&config.output.verdicts)?;
    let mut detector = start(args.bundle.as_deref().unwrap_or(&config.detector.bundle), &config)?;
    let (threshold, bundle) = (detector.calibration.threshold, detector.bundle.clone());

    let progress = Progress::new(Clock::start());
    let link = config.line.as_ref().map(|settings| LineLink::new(settings, &progress)).transpose();
    let link = link.context("cannot start the line")?;
    let mut pipeline = Pipeline::new(&config.frames, &progress, &stop);
    let (mut line_thread, mut workers, mut stall) = (None, vec![Worker::Capture, Worker::Detector], STALL);
    if let Some((settings, link)) = config.line.as_ref().zip(link.as_ref()) {
        line_thread = Some(LineThread::new(settings, link)?);
        pipeline = pipeline.on_line(link, settings);
        workers.push(Worker::Line);
        stall = settings.stall;
        if settings.simulated {
            warn!("line.simulated: no GPIO line is driven");
        }
    }
    let mut record = config.line.as_ref().and_then(|settings| settings.record.as_deref()).map(open_output).transpose()?;
    // Last: a camera that streams while the detector starts would only fill its queue.
    let source = open_source(&config)?;

    let judge = |picture: &Picture| judge(&mut detector, picture);
    let mut service = Service::ready(&progress, &workers, stall);
    let mut told = Summary::default();
    let tell = |news: News<'_>| {
        let since_1970 = |at: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            now.saturating_sub(progress.clock().now().saturating_sub(at))
        };
        match news {
            News::Outcome(outcome) => {
                log(outcome, threshold);
                told.add(outcome);
                let captured = since_1970(outcome.ticket.captured);
                serde_json::to_writer(&mut lines, &VerdictLine::new(outcome, threshold, &bundle, captured))?;
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
                    log_line(report);
                    Ok(())
                }
            },
            News::Quiet { ending } => {
                service.tick(&told, ending);
                Ok(())
            }
        }
    };
    let (summary, result) = pipeline.run(source, judge, line_thread, tell);
    service::stopping();
    info!("end: {summary}");
    if let Some(link) = &link {
        let ((bounces, missed), lost) = (link.edges(), link.lost());
        info!("line: {bounces} bounces, {missed} missed triggers, {lost} messages without room");
    }
    // Not a broken pipe that ends a command quietly: on a line, verdicts that nobody reads are a failure.
    result.map_err(|error| anyhow::Error::msg(output::describe(&error.into())))?;
    Ok(Answer::Done)
}

pub(super) fn open_source(config: &LineConfig) -> Result<Box<dyn Source>> {
    let waits = config.line.as_ref().is_some_and(|line| line.trigger.sensor_waits);
    match &config.source {
        SourceConfig::Replay(replay) => {
            let mut replay = Replay::open(replay)?;
            if waits {
                replay.wait_for_triggers();
            }
            Ok(Box::new(replay))
        }
        SourceConfig::Camera(camera) => {
            anyhow::ensure!(
                camera.triggered || !waits,
                "the line's trigger goes to the sensor, but source.camera.triggered is false: set it to true"
            );
            // Where a trigger looks for its frame, it misses a lost one by itself.
            let each_is_a_part = config.frames.bind == Binding::Part && (config.line.is_none() || waits);
            Ok(Box::new(Camera::open(camera, each_is_a_part)?))
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

fn log_line(report: Report) {
    match report {
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

/// The bundle's files are dropped here: the detector holds what it needs.
fn start(path: &Path, config: &LineConfig) -> Result<Detector> {
    let bundle = models::read_bundle(path, &config.runtime.state)?;
    let mut detector = Detector::start(&bundle, &config.setup())?;
    let (engine, variant) = (detector.engine, detector.variant.name());
    let (name, id) = (&bundle.manifest.detector.name, &bundle.id);
    let (difference, threads) = (detector.self_test_difference, rayon::current_num_threads());
    info!(
        "start: bundle {name} ({id}), engine {engine}, {variant} network, self-test difference {difference:.1e}, {threads} threads"
    );
    let own = detector.calibration.threshold;
    match site::apply(&mut detector, config)? {
        Some(site) => info!("threshold {:.4} of this site, by {}; the bundle's is {own:.4}", site.calibration.threshold, site.by),
        None => info!("threshold {own:.4} of the bundle"),
    }
    Ok(detector)
}

fn judge(detector: &mut Detector, picture: &Picture) -> Judgement {
    let unknown = |detail: String| Judgement::Unknown { reason: Reason::ScoringFailed, detail };
    match detector.score(picture) {
        Ok(scored) if scored.score.is_finite() => {
            Judgement::Scored { score: scored.score, anomalous: detector.is_anomalous(scored.score) }
        }
        Ok(scored) => unknown(format!("its score is {}", scored.score)),
        Err(error) => unknown(error.to_string()),
    }
}

fn log(outcome: &Outcome, threshold: f32) {
    let (sequence, source) = (outcome.ticket.sequence, &outcome.ticket.source);
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
