use std::convert::Infallible;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use config::line::LineSettings;
use config::{Config, SourceConfig};

use super::report::{Entry, Report};
use super::{detectors, line, source};
use crate::gpio::{self, GpioError};
use crate::workbench::processor;

/// How often a device that is not there yet is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How much is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Leaves out the detectors' self-tests and the measurement of their latency.
    pub quick: bool,
    /// How long to wait first for cameras and GPIO lines that are not there yet.
    pub wait: Duration,
}

/// Checks a line configuration against this machine. Each result is handed to `show` as soon as it is there. Gives whether every check
/// holds.
///
/// # Errors
/// Only those of `show`, which end the checks.
pub fn check<E>(config: &Path, extent: Extent, show: &mut dyn FnMut(Entry) -> Result<(), E>) -> Result<bool, E> {
    let mut report = Report::new(show);
    report.add("processor", Ok::<_, Infallible>(processor::describe()))?;
    let parsed = Config::read(config).map(|parsed| (config.display().to_string(), parsed));
    if let Some(config) = report.add_with("configuration", parsed)? {
        wait_for_devices(&config, extent.wait);
        check_machine(&mut report, &config, extent.quick)?;
    }
    Ok(report.all_hold)
}

fn check_machine<E>(report: &mut Report<'_, E>, config: &Config, quick: bool) -> Result<(), E> {
    let started = detectors::start_all(report, config, quick)?;
    let mut first_rate = None;
    for view in 0..config.views.len() {
        let rate = source::check(report, config, view, &started)?;
        first_rate = if view == 0 { rate } else { first_rate };
    }
    detectors::check_speed(report, config, started, first_rate)?;
    match &config.line {
        Some(settings) => line::check(report, settings),
        None => Ok(()),
    }
}

fn wait_for_devices(config: &Config, wait: Duration) {
    let end = Instant::now() + wait;
    while !is_all_there(config) && Instant::now() < end {
        sleep(LOOK_EVERY);
    }
}

/// Whether every device is there, whatever it can do.
fn is_all_there(config: &Config) -> bool {
    let cameras = config.views.iter().all(|view| match &view.source {
        SourceConfig::Camera(camera) => camera.device.exists(),
        SourceConfig::Replay(_) => true,
    });
    let lines = config.line.iter().filter(|line| !line.simulated).flat_map(LineSettings::gpio_lines);
    let is_missing = |(key, line): (String, _)| matches!(gpio::find(&key, &line), Err(GpioError::Missing { .. }));
    cameras && !lines.into_iter().any(is_missing)
}
