use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use detector::bundle::Bundle;
use detector::calibration::Calibration;
use detector::{Declined, Detector, Error};

use super::{Answer, output, processor, takt};
use crate::camera::source::set_up;
use crate::camera::v4l2::device::Device;
use crate::config::camera::{CameraConfig, Scene};
use crate::config::line::{LineSettings, Travel};
use crate::config::{LineConfig, SourceConfig};
use crate::gpio::{self, GpioError};
use crate::pipeline::Replay;
use crate::state::models;
use crate::state::site::{self, SiteError};

/// Blur beyond this hides what the network could see.
const LARGEST_BLUR_PX: f64 = 2.0;

/// Between two looks for a device that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    let mut checks = Checks::default();
    checks.add("processor", Ok::<_, Error>((processor::describe(), ())))?;
    let parsed = LineConfig::read(&args.config).map(|config| (args.config.display().to_string(), config));
    if let Some(config) = checks.add("configuration", parsed)? {
        let end = Instant::now() + Duration::from_secs(args.wait);
        while !is_all_there(&config) && Instant::now() < end {
            sleep(LOOK_EVERY);
        }
        let bundle = models::read_bundle(&config.detector.bundle, &config.runtime.state);
        let bundle = checks.add("bundle", bundle.map(|bundle| (bundle.id.clone(), bundle)))?;
        let mut detector = match bundle.as_ref().filter(|_| !args.quick) {
            Some(bundle) => self_test(&mut checks, bundle, &config)?,
            None => None,
        };
        if let Some(detector) = &mut detector {
            checks.add("threshold", threshold(detector, &config).map(|text| (text, ())))?;
        }
        let rate = match &config.source {
            SourceConfig::Replay(replay) => {
                let images = Replay::open(replay).map(|replay| (format!("{} images to replay", replay.paths().len()), ()));
                checks.add("source", images)?;
                Some(replay.rate)
            }
            SourceConfig::Camera(camera) => camera_check(&mut checks, camera)?,
        };
        if let Some((mut detector, bundle)) = detector.zip(bundle) {
            checks.add("latency", takt::check(&mut detector, &bundle, &config, rate).map(|text| (text, ())))?;
        }
        if let Some(line) = &config.line {
            checks.add("line", Ok::<_, Error>((summary(line), ())))?;
            for (key, wanted) in line.lines().into_iter().filter(|_| !line.simulated) {
                let found = gpio::find(&key, &wanted)
                    .map(|found| (format!("{} at {} offset {}", found.name, found.chip.display(), found.offset), ()));
                checks.add("gpio", found.map_err(|error| detector::Error::invalid(error.to_string())))?;
            }
        }
    }
    Ok(if checks.failed { Answer::No } else { Answer::Done })
}

/// Starts the detector, which tests itself.
fn self_test(checks: &mut Checks, bundle: &Bundle, config: &LineConfig) -> Result<Option<Detector>> {
    let started = Detector::start(bundle, &config.setup());
    for Declined { engine, reason } in started.iter().flat_map(|detector| &detector.declined) {
        output::print(&format!("note    engine {engine} is not used: {reason}"))?;
    }
    let started = started.map(|detector| {
        let (engine, variant) = (detector.engine, detector.variant.name());
        let (difference, tolerance) = (detector.self_test_difference, detector.self_test_tolerance);
        let text = format!(
            "on engine {engine}, {variant} network: scores differ by {difference:.1e}, at most {tolerance:.1e} is accepted"
        );
        (text, detector)
    });
    checks.add("self-test", started)
}

/// Which threshold judges: the site's, where it has one, and the bundle's.
fn threshold(detector: &mut Detector, config: &LineConfig) -> Result<String, SiteError> {
    let own = detector.calibration.clone();
    let promised = |calibration: &Calibration| {
        let (rate, images) = (calibration.false_reject_rate * 100.0, calibration.images);
        format!("{:.4} (at most {rate:.2} % false rejects on average, from {images} good parts)", calibration.threshold)
    };
    let of_bundle = promised(&own);
    Ok(match site::apply(detector, config)? {
        Some(site) => format!("this site's {}, by {}; the bundle's {of_bundle}", promised(&site.calibration), site.by),
        None => format!("the bundle's {of_bundle}; none of this site, see `apc-runtime calibrate`"),
    })
}

/// Whether every device is there; what it can do is another question.
fn is_all_there(config: &LineConfig) -> bool {
    let camera = match &config.source {
        SourceConfig::Camera(camera) => camera.device.exists(),
        SourceConfig::Replay(_) => true,
    };
    let lines = config.line.iter().filter(|line| !line.simulated).flat_map(LineSettings::lines);
    let is_missing = |(key, line): (String, _)| matches!(gpio::find(&key, &line), Err(GpioError::Missing { .. }));
    camera && !lines.into_iter().any(is_missing)
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
    fn add<T>(&mut self, name: &str, result: Result<(String, T), impl std::fmt::Display>) -> Result<Option<T>> {
        let (word, text, found) = match result {
            Ok((text, found)) => ("ok", text, Some(found)),
            Err(error) => ("FAILED", error.to_string(), None),
        };
        self.failed |= found.is_none();
        output::print(&format!("{word:6}  {name}: {text}"))?;
        Ok(found)
    }
}

/// The camera's rate, if it has one.
fn camera_check(checks: &mut Checks, config: &CameraConfig) -> Result<Option<f64>> {
    let set_up = Device::open(&config.device).and_then(|device| {
        let agreed = set_up(&device, config)?;
        let rate = agreed.rate.map_or("a rate it does not tell".into(), |rate| format!("{rate:.2} frames per second"));
        let identity = &device.identity;
        let stable = if config.device.starts_with("/dev/v4l") {
            ""
        } else {
            "; its path may name another camera after a restart: `camera list` has one that stays"
        };
        let text = format!(
            "{} ({}): {} {}x{} at {rate}{stable}",
            identity.card,
            identity.driver,
            config.format.code(),
            config.width,
            config.height
        );
        Ok((text, agreed.rate))
    });
    let rate = checks.add("camera", set_up)?.flatten();
    if let Some(scene) = &config.scene {
        checks.add("takt", takt(scene, rate))?;
        checks.add("blur", blur(scene, config.width))?;
    }
    Ok(rate)
}

/// A free-running camera must see each part.
fn takt(scene: &Scene, rate: Option<f64>) -> detector::Result<(String, ())> {
    let parts = scene.parts_per_second;
    match rate {
        Some(rate) if rate < parts => Err(Error::invalid(format!(
            "{parts} parts per second pass, and the camera gives {rate:.2} frames: parts will be missed"
        ))),
        Some(rate) => Ok((format!("{parts} parts per second, {rate:.2} frames"), ())),
        None => Ok((format!("{parts} parts per second; the camera does not tell its rate"), ())),
    }
}

/// A point that moves by more than a pixel while the shutter is open is no point any more.
fn blur(scene: &Scene, width: u32) -> detector::Result<(String, ())> {
    let pixel = scene.width_mm / f64::from(width);
    let moved = scene.belt_speed_mm_s * scene.exposure_ms / 1e3;
    let pixels = moved / pixel;
    let text = format!("parts move {moved:.3} mm while the shutter is open, {pixels:.1} px of {pixel:.3} mm");
    if pixels <= LARGEST_BLUR_PX {
        return Ok((text, ()));
    }
    let exposure = LARGEST_BLUR_PX * pixel / scene.belt_speed_mm_s * 1e3;
    Err(Error::invalid(format!("{text}: expose for at most {exposure:.2} ms, with more light")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: Scene = Scene { width_mm: 128.0, belt_speed_mm_s: 200.0, exposure_ms: 1.0, parts_per_second: 20.0 };

    #[test]
    fn blur_is_told_with_the_exposure_that_would_do() {
        assert!(blur(&SCENE, 640).unwrap().0.contains("0.200 mm while the shutter is open, 1.0 px of 0.200 mm"));
        let error = blur(&Scene { exposure_ms: 4.0, ..SCENE }, 640).unwrap_err().to_string();
        assert!(error.contains("4.0 px") && error.contains("at most 2.00 ms"), "{error}");
    }

    #[test]
    fn too_slow_a_camera_is_refused_with_numbers() {
        assert!(takt(&SCENE, Some(30.0)).is_ok() && takt(&SCENE, None).is_ok());
        let error = takt(&SCENE, Some(15.0)).unwrap_err().to_string();
        assert!(error.contains("20 parts") && error.contains("15.00 frames"), "{error}");
    }
}
