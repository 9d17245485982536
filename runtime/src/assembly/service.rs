//! The service: builds everything that a configuration needs, and runs it until its end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use config::{Config, STANDARD_OUTPUT, SeatId};
use log::{debug, error, info, trace, warn};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;
use verdict::{Outcome, OutputLine, Verdict, VerdictLine};

use super::seats::{SeatPlan, stages};
use super::{detectors, sources};
use crate::line::Decision;
use crate::live::clock::Clock;
use crate::live::journal::{CLOSE_PATIENCE, Destination, Journal, QueueLimits, Rotation, Settings};
use crate::live::progress::{Progress, Worker};
use crate::live::service::{self, Service};
use crate::live::{LineLink, LineThread, Notice, Pipeline, Report, Summary};

/// Without `[line]`, a thread that makes no progress for this long has hung.
const STALL: Duration = Duration::from_secs(10);

/// Judges the frames of the sources until the sources end or `stop` becomes true.
///
/// # Errors
/// When a bundle, camera, GPIO line or file cannot be used, or a thread dies.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<()> {
    let mut verdicts = journal(config, "verdict", "output.verdicts", &config.output.verdicts)?;
    let mut loaded = detectors::load_all(config)?;
    let plan = SeatPlan::new(config, &loaded)?;
    plan.thresholds().for_each(|line| info!("{line}"));
    let (extract, score) = stages(&plan, &mut loaded);

    let views = config.views.len();
    let progress = Progress::new(Clock::start(), views);
    let product = config.first_product();
    let link = config.line.as_ref().map(|settings| LineLink::new(settings, product, &progress)).transpose();
    let link = link.context("cannot start the line")?;
    // The cameras start after the detector: while it loads, a camera would only fill its queue. They start before the line thread: a camera
    // may need seconds to start, and a trigger in this time would find no frame.
    let sources = (0..views).map(|view| sources::open(config, SeatId { product, view })).collect::<detector::Result<Vec<_>>>()?;
    let mut pipeline = Pipeline::new(&config.frames, &progress, stop);
    let mut workers: Vec<_> = (0..views).map(Worker::Capture).chain([Worker::Detector]).collect();
    let (mut line_thread, mut stall) = (None, STALL);
    if let Some((settings, link)) = config.line.as_ref().zip(link.as_ref()) {
        line_thread = Some(LineThread::new(settings, config.products.clone(), link)?);
        pipeline = pipeline.on_line(link, settings);
        workers.push(Worker::Line);
        stall = settings.stall;
        if settings.simulated {
            warn!("line.simulated: no GPIO line is driven");
        }
    }
    let record = config.line.as_ref().and_then(|settings| settings.record.as_deref());
    let mut record = record.map(|path| journal(config, "output", "line.record", path)).transpose()?;

    let mut service = Service::ready(&progress, &workers, stall);
    let mut summary = Summary::default();
    let report = |notice: Notice<'_>| {
        let since_1970 = |at: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            now.saturating_sub(progress.clock().now().saturating_sub(at))
        };
        match notice {
            Notice::Outcome(outcome) => {
                log_outcome(outcome, &plan);
                summary.add(outcome);
                let captured = since_1970(outcome.ticket.captured);
                verdicts.write(&VerdictLine::new(outcome, |ticket| plan.judged_by(ticket), captured));
                // Without a line, verdicts serve only their reader.
                if config.line.is_none() && verdicts.reader_is_gone() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Notice::Line(Report::Output { output, active, at }) => {
                trace!("output {}: {}", output.word(), if active { "active" } else { "inactive" });
                if let Some(record) = &mut record {
                    record.write(&OutputLine { output, active, at: since_1970(at).as_secs_f64() });
                }
            }
            Notice::Line(report) => log_report(report, &plan),
            Notice::Idle { ending } => service.tick(&summary, verdicts.counts().lost, ending),
        }
    };
    let (summary, result) = pipeline.run(sources, extract, score, line_thread, report);
    service::stopping();
    info!("end: {summary}");
    if let Some(link) = &link {
        let ((bounces, frames), missed, lost) = (link.surplus(), link.missed(), link.lost());
        info!(
            "line: {missed} triggers missed; surplus: {bounces} bounces, {frames} frames without a part; {lost} messages without \
             room"
        );
    }
    result?;
    verdicts.close(CLOSE_PATIENCE);
    ensure!(config.line.is_some() || !verdicts.reader_is_gone(), "cannot write verdicts: the reader of standard output is gone");
    Ok(())
}

/// A journal for a file or stream; on SIGHUP it opens its file by name again. Where only standard output is written to, SIGHUP ends the
/// program, as the end of a terminal should.
fn journal(config: &Config, noun: &'static str, key: &'static str, path: &Path) -> Result<Journal> {
    let destination = match path.as_os_str() == STANDARD_OUTPUT {
        true => Destination::StandardOutput,
        false => Destination::Path(path.to_owned()),
    };
    let rotation = Rotation { max_bytes: config.output.max_mib << 20, files: config.output.files };
    let is_file = matches!(destination, Destination::Path(_));
    let journal = Journal::start(Settings { noun, key, destination, rotation, queue: QueueLimits::default() })?;
    if is_file {
        flag::register(SIGHUP, journal.reopen_flag()).context("cannot listen to SIGHUP")?;
    }
    Ok(journal)
}

fn log_report(report: Report, plan: &SeatPlan) {
    match report {
        Report::Product(product) => info!("product {} from now on", plan.product_name(product)),
        Report::Missed(missed) => {
            error!("triggers came faster than they could be read: {missed} parts passed unseen")
        }
        Report::Decided(Decision { part, verdict: Verdict::Unknown(reason), disposition, .. }) => {
            warn!("part {part}: unknown at the actuator, {}: {disposition:?}", reason.word());
        }
        Report::Decided(Decision { part, verdict, disposition, .. }) => {
            debug!("part {part}: {}, {disposition:?}", verdict.word())
        }
        // Output changes are written to the record, not to the log.
        Report::Output { .. } => {}
        Report::Stopped(cause) => error!("the stop output is active: {cause}"),
        Report::Late(part) => debug!("part {part}: its verdict came too late"),
        Report::OutputFailed(output) => error!("the output {} cannot be set", output.word()),
        Report::InputFailed => error!("the inputs cannot be read"),
    }
}

fn log_outcome(outcome: &Outcome, plan: &SeatPlan) {
    let (sequence, source, detail) = (outcome.ticket.sequence, &outcome.ticket.source, &outcome.judged.detail);
    let threshold = plan.judged_by(&outcome.ticket).threshold.unwrap_or(f32::NAN);
    let (verdict, score) = (outcome.verdict(), outcome.judged.score.unwrap_or(f32::NAN));
    match verdict {
        Verdict::Anomalous => info!("{sequence} {source}: anomalous, score {score:.4} above {threshold:.4}"),
        Verdict::Good => debug!("{sequence} {source}: good, score {score:.4} of {threshold:.4}"),
        Verdict::Unknown(reason) if detail.is_empty() => warn!("{sequence} {source}: unknown, {}", reason.word()),
        Verdict::Unknown(reason) => warn!("{sequence} {source}: unknown, {}: {detail}", reason.word()),
    }
}
