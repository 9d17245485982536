//! `cargo xtask bench pulses`: when the line's pulses come, against when they should.

use std::io::{self, Write};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::binaries::Build;
use crate::workspace::Workspace;
use crate::{process, setup};

/// Time the pulses of the service's line thread (recorded, no GPIO line is needed) while twice as many busy threads as processors run.
/// Exit code 1 if a part got no pulse or another one's.
///
/// A part every 30 ms on average, so the 10,000 take about 5 minutes. Without the right to SCHED_FIFO the priority says 0.
#[derive(clap::Args)]
pub struct Args {
    /// Parts
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    parts: usize,
    /// Realtime priority of the line thread, as line.priority; 0 for none
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..100))]
    priority: u8,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What the example `pulses` prints.
#[derive(Serialize, Deserialize)]
struct Measured {
    parts: usize,
    unknown: usize,
    wrong: usize,
    busy_threads: usize,
    priority: u8,
    late: Late,
    late_while_running: Late,
    still: Still,
}

#[derive(Serialize, Deserialize)]
struct Late {
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    most_ms: f64,
    within_1_ms: f64,
    within_5_ms: f64,
}

#[derive(Serialize, Deserialize)]
struct Still {
    times: usize,
    total_ms: f64,
    most_ms: f64,
}

/// Runs the command; `false` if a part's pulse was wrong.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let build = Build::of_everything(workspace, &setup::prepare(workspace)?)?;
    let busy = 2 * thread::available_parallelism().map_or(1, usize::from);
    eprintln!("bench: {} parts beside {busy} busy threads", args.parts);
    let mut pulses = Command::new(build.program("pulses")?);
    pulses.args([args.parts, busy, args.priority.into()].map(|number| number.to_string()));
    let text = process::output_of(&mut pulses, "cannot time the pulses")?;
    let measured: Measured =
        serde_json::from_str(&text).with_context(|| format!("not what the example pulses prints: {text}"))?;
    let printed =
        if args.json { serde_json::to_string_pretty(&measured).context("cannot write JSON")? + "\n" } else { told(&measured) };
    write!(io::stdout(), "{printed}").context("cannot print the result")?;
    Ok(measured.wrong == 0 && measured.parts == args.parts)
}

fn told(measured: &Measured) -> String {
    let Measured { parts, unknown, wrong, busy_threads, priority, late, late_while_running, still } = measured;
    let mut text = format!(
        "{parts} parts, {unknown} unknown, {wrong} wrong; {busy_threads} busy threads, priority {priority}\n\
         the processor did not run: {} times, {:.1} ms in all, {:.1} ms at most\n\
         | after the target time, ms | p50 | p99 | p99.9 | most | within 1 ms | within 5 ms |\n|---|---|---|---|---|---|---|\n",
        still.times, still.total_ms, still.most_ms
    );
    for (name, late) in [("as it was", late), ("while the processor ran", late_while_running)] {
        let Late { p50_ms, p99_ms, p999_ms, most_ms, within_1_ms, within_5_ms } = late;
        text += &format!(
            "| {name} | {p50_ms:.3} | {p99_ms:.3} | {p999_ms:.3} | {most_ms:.3} | {:.2} % | {:.2} % |\n",
            within_1_ms * 100.0,
            within_5_ms * 100.0
        );
    }
    text
}
