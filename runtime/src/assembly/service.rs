//! The service: everything that a configuration asks for, put together and run until its end.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use config::{Config, STANDARD_OUTPUT, SeatId};
use log::{debug, error, info, trace, warn};
use verdict::{Outcome, OutputLine, Verdict, VerdictLine};

use super::seats::{SeatPlan, stages};
use super::{detectors, sources};
use crate::line::Decision;
use crate::live::clock::Clock;
use crate::live::progress::{Progress, Worker};
use crate::live::service::{self, Service};
use crate::live::{LineLink, LineThread, News, Pipeline, Report, Summary};

/// Without a line, a thread that makes no progress for this long has hung.
const STALL: Duration = Duration::from_secs(10);

/// Judges what the sources deliver until they end or `stop` becomes true.
///
/// # Errors
/// When a bundle, camera, GPIO line or file cannot be used, or a thread dies.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<()> {
    let mut lines = open_output(&config.output.verdicts)?;
    let mut loaded = detectors::load_all(config)?;
    let plan = SeatPlan::new(config, &loaded)?;
    plan.thresholds().for_each(|line| info!("{line}"));
    let (extract, score) = stages(&plan, &mut loaded);

    let views = config.views.len();
    let progress = Progress::new(Clock::start(), views);
    let product = config.first_product();
    let link = config.line.as_ref().map(|settings| LineLink::new(settings, product, &progress)).transpose();
    let link = link.context("cannot start the line")?;
    // After the detector: a camera that streams meanwhile would only fill its queue. Before the line: a camera may need seconds, and a
    // trigger that came meanwhile would reach its camera too late.
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
    let mut record = config.line.as_ref().and_then(|settings| settings.record.as_deref()).map(open_output).transpose()?;

    let mut service = Service::ready(&progress, &workers, stall);
    let mut summary = Summary::default();
    let tell = |news: News<'_>| {
        let since_1970 = |at: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            now.saturating_sub(progress.clock().now().saturating_sub(at))
        };
        match news {
            News::Outcome(outcome) => {
                log_outcome(outcome, &plan);
                summary.add(outcome);
                let captured = since_1970(outcome.ticket.captured);
                let line = VerdictLine::new(outcome, |ticket| plan.judged_by(ticket), captured);
                serde_json::to_writer(&mut lines, &line)?;
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
                    log_report(report, &plan);
                    Ok(())
                }
            },
            News::Quiet { ending } => {
                service.tick(&summary, ending);
                Ok(())
            }
        }
    };
    let (summary, result) = pipeline.run(sources, extract, score, line_thread, tell);
    service::stopping();
    info!("end: {summary}");
    if let Some(link) = &link {
        let ((bounces, frames), missed, lost) = (link.surplus(), link.missed(), link.lost());
        info!(
            "line: {missed} triggers missed; surplus: {bounces} bounces, {frames} frames that no part asked for; {lost} messages without \
             room"
        );
    }
    Ok(result?)
}

fn log_report(report: Report, plan: &SeatPlan) {
    match report {
        Report::Product(product) => info!("product {} from now on", plan.product_name(product)),
        Report::Missed(missed) => {
            error!("triggers came faster than they could be read: {missed} parts passed without being seen")
        }
        Report::Decided(Decision { part, verdict: Verdict::Unknown(reason), disposition, .. }) => {
            warn!("part {part}: unknown at the actuator, {}: {disposition:?}", reason.word());
        }
        Report::Decided(Decision { part, verdict, disposition, .. }) => {
            debug!("part {part}: {}, {disposition:?}", verdict.word())
        }
        Report::Output { output, active, .. } => {
            trace!("output {}: {}", output.word(), if active { "active" } else { "inactive" });
        }
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

fn open_output(path: &Path) -> Result<Box<dyn Write>> {
    if path.as_os_str() == STANDARD_OUTPUT {
        return Ok(Box::new(io::BufWriter::new(io::stdout())));
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot open {} for verdicts", path.display()))?;
    Ok(Box::new(io::BufWriter::new(file)))
}
