use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::answer::Answer;
use super::output;
use crate::commissioning::check::{Entry, Extent, check};

/// Check a line configuration against this machine
///
/// Prints a line for each check. Exit code 1 when one fails.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Leave out the detector's self-test and the measurement of its latency
    #[arg(long)]
    quick: bool,
    /// How long to wait first for a camera and GPIO lines that are not there yet, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let extent = Extent { quick: args.quick, wait: Duration::from_secs(args.wait) };
    let all_hold = check(&args.config, extent, &mut |entry| match entry {
        Entry::Note(text) => output::print(&format!("note    {text}")),
        Entry::Check { name, holds, text } => {
            let word = if holds { "ok" } else { "FAILED" };
            output::print(&format!("{word:6}  {name}: {text}"))
        }
    })?;
    Ok(if all_hold { Answer::Done } else { Answer::No })
}
