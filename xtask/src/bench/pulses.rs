//! `cargo xtask bench pulses`: how far the pulses of a production line are from their due times.

use std::io::{self, Write};
use std::process::Command;
use std::thread;

use anyhow::{Result, bail};

use crate::binaries::{Build, Targets};
use crate::workspace::Workspace;
use crate::{process, setup};

/// Time the pulses of the service's line thread (recorded, no GPIO line is needed) while twice as many busy threads as processors run.
/// Exit code 1 if a part got no pulse, or the pulse of another part.
///
/// A part every 30 ms on average, so the 10,000 take about 5 minutes. Without the right to SCHED_FIFO the priority is 0.
#[derive(clap::Args)]
pub struct Args {
    /// Parts
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    parts: u32,
    /// Realtime priority of the line thread, as line.priority; 0 for none
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..100))]
    priority: u8,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command; `false` if a part's pulse was wrong.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let build = Build::of(workspace, &setup::prepare(workspace)?, Targets::Example("pulses"))?;
    let busy = 2 * thread::available_parallelism().map_or(1, usize::from);
    eprintln!("bench: {} parts beside {busy} busy threads", args.parts);
    let mut pulses = Command::new(build.program("pulses")?);
    pulses.args([args.parts.to_string(), busy.to_string(), args.priority.to_string()]).args(args.json.then_some("--json"));
    let mut printed = Ok(());
    let status = process::run_with_lines(&mut pulses, |line| {
        if printed.is_ok() {
            printed = writeln!(io::stdout(), "{line}");
        }
    })?;
    printed?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("the pulses could not be timed, see above ({status})"),
    }
}
