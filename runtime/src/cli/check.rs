use std::path::PathBuf;

use anyhow::Result;
use detector::bundle::Bundle;
use detector::{Declined, Detector};

use super::{Answer, output, processor};
use crate::config::line::{LineSettings, Travel};
use crate::config::{LineConfig, SourceConfig};
use crate::gpio;
use crate::pipeline::Replay;

/// Check a line configuration against this machine
///
/// Prints a line for each check. Exit code 1 when one fails.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Leave out the detector's self-test
    #[arg(long)]
    quick: bool,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut checks = Checks::default();
    checks.add("processor", Ok((processor::describe(), ())))?;
    let parsed = LineConfig::read(&args.config).map(|config| (args.config.display().to_string(), config));
    if let Some(config) = checks.add("configuration", parsed)? {
        let bundle = Bundle::read(&config.detector.bundle).map(|bundle| (bundle.id.clone(), bundle));
        if let Some(bundle) = checks.add("bundle", bundle)?
            && !args.quick
        {
            let started = Detector::start(&bundle, &config.setup());
            for Declined { engine, reason } in started.iter().flat_map(|detector| &detector.declined) {
                output::print(&format!("note    engine {engine} is not used: {reason}"))?;
            }
            let started = started.map(|detector| {
                let (engine, variant) = (detector.engine, detector.variant.name());
                let (difference, tolerance) = (detector.self_test_difference, detector.self_test_tolerance);
                let text = format!(
                    "on engine {engine}, {variant} network: scores differ by {difference:.1e}, at most {tolerance:.1e} is accepted"
                );
                (text, ())
            });
            checks.add("self-test", started)?;
        }
        let SourceConfig::Replay(replay) = &config.source;
        let images = Replay::open(replay).map(|replay| (format!("{} images to replay", replay.paths().len()), ()));
        checks.add("source", images)?;
        if let Some(line) = &config.line {
            checks.add("line", Ok((summary(line), ())))?;
            for (key, wanted) in line.lines().into_iter().filter(|_| !line.simulated) {
                let found = gpio::find(&key, &wanted)
                    .map(|found| (format!("{} at {} offset {}", found.name, found.chip.display(), found.offset), ()));
                checks.add("gpio", found.map_err(|error| detector::Error::invalid(error.to_string())))?;
            }
        }
    }
    Ok(if checks.failed { Answer::No } else { Answer::Done })
}

/// What the line does with parts, in figures that a person can compare with the machine.
fn summary(line: &LineSettings) -> String {
    let (delay, spacing) = (&line.control.delay, &line.control.spacing);
    let takt = match spacing {
        Travel::Time(spacing) => format!("at most {:.1} parts per second", 1.0 / spacing.as_secs_f64()),
        Travel::Pulses(pulses) => format!("parts at least {pulses} pulses apart"),
    };
    let delay = match delay {
        Travel::Time(delay) => format!("{} ms", delay.as_secs_f64() * 1e3),
        Travel::Pulses(pulses) => format!("{pulses} pulses"),
    };
    let simulated = if line.simulated { "; simulated: no GPIO line is driven" } else { "" };
    format!("{delay} from trigger to actuator, {takt}{simulated}")
}

#[derive(Default)]
struct Checks {
    failed: bool,
}

impl Checks {
    /// Prints one check and hands on what it found.
    fn add<T>(&mut self, name: &str, result: detector::Result<(String, T)>) -> Result<Option<T>> {
        let (word, text, found) = match result {
            Ok((text, found)) => ("ok", text, Some(found)),
            Err(error) => ("FAILED", error.to_string(), None),
        };
        self.failed |= found.is_none();
        output::print(&format!("{word:6}  {name}: {text}"))?;
        Ok(found)
    }
}
