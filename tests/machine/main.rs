//! The inside of the machine test: runs as root in the guest that `cargo xtask machine-test` boots, and stands around the camera
//! service as a production line would.
//!
//! `Bench` sets the simulated hardware up; `Feeder` puts pictures before the camera and triggers; `Observer` watches the outputs;
//! `account` holds all of it against the service's verdicts. Scenarios are data: `scenarios/*.toml`.

#![allow(clippy::print_stdout, reason = "its results are what it prints")]

mod account;
mod bench;
mod clock;
mod encoder;
mod expected;
mod feeder;
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

/// Plays every scenario in the folder; whether all passed. The last line counts them.
fn run(folder: &Path) -> Result<bool> {
    // The console may begin with what a terminal understands: the results get lines of their own.
    say("\nmachine test")?;
    let scenarios = scenario::read_all(&folder.join("scenarios"))?;
    let bench = Bench::set_up(folder)?;
    let (mut passed, mut failed) = (0, 0);
    for (name, scenario) in &scenarios {
        let started = clock::now();
        let (word, text) = match play(&bench, scenario) {
            Ok(notes) => ("PASS", notes.iter().map(|note| format!("\n        {note}")).collect()),
            Err(error) => {
                ("FAIL", format!("\n{}{}", indent("", &format!("{error:#}")), indent("  | ", &service::journal(started))))
            }
        };
        *(if word == "PASS" { &mut passed } else { &mut failed }) += 1;
        say(&format!("{word}  {name}: {} ({:.0} s){text}", scenario.title, clock::now() - started))?;
    }
    say(&format!("{passed} passed, {failed} failed"))?;
    Ok(failed == 0 && passed > 0)
}

/// What the steps found out, or why one failed.
fn play(bench: &Bench, scenario: &Scenario) -> Result<Vec<String>> {
    let mut stage = Stage::new(bench, scenario).context("cannot prepare the scenario")?;
    let result = stage.play(&scenario.steps);
    let cleared = stage.clear();
    let notes = result?;
    cleared.context("cannot clear up after the scenario")?;
    Ok(notes)
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot print")
}

fn indent(mark: &str, text: &str) -> String {
    text.lines().map(|line| format!("        {mark}{line}\n")).collect()
}
