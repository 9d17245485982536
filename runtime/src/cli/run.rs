use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use detector::Detector;
use detector::bundle::Bundle;
use detector::picture::Picture;
use log::{debug, info, warn};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Answer, output, set_threads, start_log};
use crate::config::{LineConfig, STANDARD_OUTPUT, SourceConfig};
use crate::pipeline::{Judgement, Outcome, Pipeline, Reason, Replay, VerdictLine};

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
    let SourceConfig::Replay(replay) = &config.source;
    let source = Replay::open(replay)?;
    let mut lines = open_output(&config.output.verdicts)?;
    let mut detector = start(args.bundle.as_deref().unwrap_or(&config.detector.bundle), &config)?;
    let (threshold, bundle) = (detector.calibration.threshold, detector.bundle.clone());

    let judge = |picture: &Picture| judge(&mut detector, picture);
    let tell = |outcome: &Outcome| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        log(outcome, threshold);
        serde_json::to_writer(&mut lines, &VerdictLine::new(outcome, threshold, &bundle, now))?;
        lines.write_all(b"\n")?;
        lines.flush()
    };
    let (summary, result) = Pipeline::new(&config.frames, &stop).run(source, judge, tell);
    info!("end: {summary}");
    // Not a broken pipe that ends a command quietly: on a line, verdicts that nobody reads are a failure.
    result.map_err(|error| anyhow::Error::msg(output::describe(&error.into())))?;
    Ok(Answer::Done)
}

/// The bundle's files are dropped here: the detector holds what it needs.
fn start(path: &Path, config: &LineConfig) -> Result<Detector> {
    let bundle = Bundle::read(path)?;
    let detector = Detector::start(&bundle, &config.setup())?;
    let (engine, variant) = (detector.engine, detector.variant.name());
    let (name, id) = (&bundle.manifest.detector.name, &bundle.id);
    let (difference, threads) = (detector.self_test_difference, rayon::current_num_threads());
    info!(
        "start: bundle {name} ({id}), engine {engine}, {variant} network, self-test difference {difference:.1e}, {threads} threads"
    );
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
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
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
