use std::path::PathBuf;

use anyhow::{Result, ensure};
use config::Config;

use super::answer::Answer;
use super::process::{set_threads, start_log};
use crate::assembly::service;
use crate::live::signals::stop_on_signals;

/// Judge the frames of a line's sources, live
///
/// Prints one JSON object per verdict, as the configuration says. Ends when the source ends, or on SIGTERM or SIGINT: the frame that is
/// being judged is finished, frames that wait are `unknown` (reason `stopped`). A second signal ends it at once, with exit code 2.
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
        ensure!(config.replace_bundle(bundle), "--bundle replaces one bundle, but views and products of the line name several");
    }
    start_log(config.log.level.filter())?;
    set_threads(threads.unwrap_or(config.detector.threads))?;
    let stop = stop_on_signals()?;
    // As text, so that a broken pipe does not end this command quietly: on a line, verdicts that nobody reads are a failure.
    service::run(&config, &stop).map_err(|error| anyhow::Error::msg(format!("{error:#}")))?;
    Ok(Answer::Done)
}
