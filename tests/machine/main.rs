//! The inside of the machine test: runs as root in the guest that `cargo xtask machine-test` boots, and stands around the camera
//! service as a production line would.
//!
//! `Bench` sets the simulated hardware up; `Feeder` puts pictures before the camera and triggers; `Observer` watches the outputs;
//! `account` holds all of it against the service's verdicts. Scenarios are data: `scenarios/*.toml`.

#![allow(clippy::disallowed_methods, reason = "files of tests may be half written")]
#![allow(clippy::print_stdout, reason = "its results are what it prints")]

mod account;
mod bench;
mod clock;
mod encoder;
mod expected;
mod feeder;
mod formats;
mod measures;
mod observer;
mod scenario;
mod service;
mod shell;
mod stage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::scenario::Scenario;
use crate::stage::Stage;

/// So often a scenario is played, at most, until it is sure what comes of it.
const TRIES: usize = 3;
/// A machine that stood still for this share of the time proves nothing by a failure: the line has limits of time too.
const STILL: f64 = 0.02;

fn main() -> ExitCode {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("/host"), PathBuf::from);
    match run(&folder) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            println!("FAIL  set-up: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Plays every scenario in the folder; whether none failed. The last line counts them.
fn run(folder: &Path) -> Result<bool> {
    // The console may begin with what a terminal understands: the results get lines of their own.
    say("\nmachine test")?;
    let scenarios = scenario::read_all(&folder.join("scenarios"))?;
    let bench = Bench::set_up(folder)?;
    let (mut passed, mut failed, mut unsure) = (0, 0, 0);
    for (name, scenario) in &scenarios {
        let outcome = (0..TRIES).find_map(|_| judge(&bench, name, scenario).transpose());
        match outcome.transpose()? {
            Some(true) => passed += 1,
            Some(false) => failed += 1,
            None => unsure += 1,
        }
    }
    say(&format!("{passed} passed, {failed} failed, {unsure} unsure"))?;
    Ok(failed == 0 && passed > 0)
}

/// Plays a scenario and tells what came of it: whether it passed, or nothing where it failed on a machine that stood still.
fn judge(bench: &Bench, name: &str, scenario: &Scenario) -> Result<Option<bool>> {
    let started = clock::now();
    let (result, still) = play(bench, scenario);
    let seconds = clock::now() - started;
    let title = format!("{name}: {} ({seconds:.0} s, of which the machine stood still for {still:.1})", scenario.title);
    let (passed, word) = match result {
        Ok(_) => (Some(true), "PASS"),
        Err(_) if still > STILL * seconds => (None, "UNSURE"),
        Err(_) => (Some(false), "FAIL"),
    };
    let text = match result {
        Ok(notes) => notes.iter().map(|note| format!("\n        {note}")).collect(),
        Err(error) => format!("\n{}{}", indent("", &format!("{error:#}")), indent("  | ", &service::journal(started))),
    };
    say(&format!("{word}  {title}{text}"))?;
    Ok(passed)
}

/// What the steps found out, or why one failed; and for how many seconds the machine stood still meanwhile.
fn play(bench: &Bench, scenario: &Scenario) -> (Result<Vec<String>>, f64) {
    let mut stage = match Stage::new(bench, scenario).context("cannot prepare the scenario") {
        Ok(stage) => stage,
        Err(error) => return (Err(error), 0.0),
    };
    let result = stage.play(&scenario.steps);
    let still = stage.still();
    let cleared = stage.clear().context("cannot clear up after the scenario");
    (result.and_then(|notes| cleared.map(|()| notes)), still)
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot print")
}

fn indent(mark: &str, text: &str) -> String {
    text.lines().map(|line| format!("        {mark}{line}\n")).collect()
}
