use std::path::PathBuf;

use anyhow::Result;
use detector::bundle::Bundle;
use detector::{Declined, Detector};

use super::{Answer, output, processor};
use crate::config::{LineConfig, SourceConfig};
use crate::pipeline::Replay;

/// Check a line configuration against this machine
///
/// Prints a line for each check. Exit code 1 when one fails.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut checks = Checks::default();
    checks.add("processor", Ok((processor::describe(), ())))?;
    let parsed = LineConfig::read(&args.config).map(|config| (args.config.display().to_string(), config));
    if let Some(config) = checks.add("configuration", parsed)? {
        let bundle = Bundle::read(&config.detector.bundle).map(|bundle| (bundle.id.clone(), bundle));
        if let Some(bundle) = checks.add("bundle", bundle)? {
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
    }
    Ok(if checks.failed { Answer::No } else { Answer::Done })
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
