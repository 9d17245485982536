use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use detector::bundle::Bundle;
use detector::calibration::Calibration;
use detector::{Declined, Detector, Error};

use super::{Answer, output};
use crate::assembly::detectors::Loaded;
use crate::assembly::seats::SeatPlan;
use crate::camera::Replay;
use crate::camera::v4l2::device::Device;
use crate::camera::v4l2_source::set_up;
use crate::commissioning::{memory, optics, takt};
use crate::gpio::{self, GpioError};
use crate::workbench::processor;
use config::line::{LineSettings, Timing, Travel};
use config::{CameraConfig, Config, MAIN, Product, SeatId, SourceConfig, View};
use store::Store;
use store::site::{self, SiteError};

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
    let parsed = Config::read(&args.config).map(|config| (args.config.display().to_string(), config));
    if let Some(config) = checks.add("configuration", parsed)? {
        let end = Instant::now() + Duration::from_secs(args.wait);
        while !is_all_there(&config) && Instant::now() < end {
            sleep(LOOK_EVERY);
        }
        let started = start_all(&mut checks, &config, args.quick)?;
        let mut rate = None;
        for view in 0..config.views.len() {
            let found = source_check(&mut checks, &config, view, &started)?;
            rate = if view == 0 { found } else { rate };
        }
        latency(&mut checks, &config, started, rate)?;
        if let Some(line) = &config.line {
            checks.add("line", Ok::<_, Error>((summary(line), ())))?;
            for (key, wanted) in line.gpio_lines().into_iter().filter(|_| !line.simulated) {
                let found = gpio::find(&key, &wanted)
                    .map(|found| (format!("{} at {} offset {}", found.name, found.chip.display(), found.offset), ()));
                checks.add("gpio", found.map_err(|error| detector::Error::invalid(error.to_string())))?;
            }
        }
    }
    Ok(if checks.failed { Answer::No } else { Answer::Done })
}

/// A bundle of the configuration, and its detector unless that is left out.
struct Started {
    path: PathBuf,
    bundle: Option<Bundle>,
    detector: Option<Detector>,
}

/// Reads every bundle and starts its detector, which tests itself.
fn start_all(checks: &mut Checks, config: &Config, quick: bool) -> Result<Vec<Started>> {
    let mut all = Vec::new();
    for path in config.bundles() {
        let bundle = Store::at(&config.runtime.state).bundle(path).map(|bundle| (bundle.id.clone(), bundle));
        let bundle = checks.add("bundle", bundle)?;
        let detector = match bundle.as_ref().filter(|_| !quick) {
            Some(bundle) => self_test(checks, bundle, config)?,
            None => None,
        };
        all.push(Started { path: path.to_owned(), bundle, detector });
    }
    if all.iter().all(|started| started.detector.is_some()) {
        checks.add("memory", memory::check(config, all.len()))?;
    }
    Ok(all)
}

/// Whether the detectors keep up with the line, product by product: a part takes as long as all its views.
fn latency(checks: &mut Checks, config: &Config, mut all: Vec<Started>, rate: Option<f64>) -> Result<()> {
    let mut times = Vec::new();
    for started in &mut all {
        let (Some(bundle), Some(detector)) = (&started.bundle, &mut started.detector) else { return Ok(()) };
        match takt::measure(detector, bundle) {
            Ok(measured) => times.push(measured),
            Err(error) => return checks.add::<()>("latency", Err(error)).map(drop),
        }
    }
    let loaded = all.into_iter().filter_map(|started| Some(Loaded { path: started.path, detector: started.detector? }));
    let loaded: Vec<Loaded> = loaded.collect();
    for (id, seat) in config.seats() {
        let Some(Loaded { detector, .. }) = loaded.iter().find(|loaded| loaded.path == seat.bundle) else { continue };
        let name = match config.has_one_nameless_product() && id.view == 0 {
            true => "threshold".to_owned(),
            false => format!("threshold of {} {}", config.views[id.view].name, config.products[id.product].name),
        };
        checks.add(name.trim_end(), threshold(detector, config, id).map(|text| (text, ())))?;
    }
    // What is wrong with a threshold was reported above.
    let Ok(plan) = SeatPlan::new(config, &loaded) else { return Ok(()) };
    for product in 0..config.products.len() {
        let of_views: Vec<_> = plan.detectors_of(product).map(|detector| &times[detector][..]).collect();
        let held = takt::check(&of_views, config, product, rate);
        let name = plan.product_name(product);
        let name = if name.is_empty() { "latency".to_owned() } else { format!("latency of {name}") };
        checks.add(&name, held.map(|text| (text, ())))?;
    }
    Ok(())
}

/// Starts the detector, which tests itself.
fn self_test(checks: &mut Checks, bundle: &Bundle, config: &Config) -> Result<Option<Detector>> {
    let started = Detector::start(bundle, &config.setup());
    for Declined { engine, reason } in started.iter().flat_map(|detector| &detector.declined) {
        output::print(&format!("note    engine {engine} is not used: {reason}"))?;
    }
    let started = started.map(|detector| {
        let (engine, network) = (detector.engine, detector.network());
        let (difference, tolerance) = (detector.self_test_difference, detector.self_test_tolerance);
        let text =
            format!("on engine {engine}, {network}: scores differ by {difference:.1e}, at most {tolerance:.1e} is accepted");
        (text, detector)
    });
    checks.add("self-test", started)
}

/// Which threshold judges, beside the bundle's.
fn threshold(detector: &Detector, config: &Config, id: SeatId) -> Result<String, SiteError> {
    let promised = |calibration: &Calibration| {
        let (rate, images) = (calibration.false_reject_rate * 100.0, calibration.images);
        format!("{:.4} (at most {rate:.2} % false rejects on average, from {images} good parts)", calibration.threshold)
    };
    let of_bundle = promised(&detector.calibration);
    if let Some(threshold) = config.seat(id).threshold {
        return Ok(format!("the configuration's {threshold:.4}; the bundle's {of_bundle}"));
    }
    Ok(match site::of(config, detector, id)? {
        Some(site) => format!("this site's {}, by {}; the bundle's {of_bundle}", promised(&site.calibration), site.by),
        None => format!("the bundle's {of_bundle}; none of this site, see `apc-runtime calibrate`"),
    })
}

/// Whether every device is there; what it can do is another question.
fn is_all_there(config: &Config) -> bool {
    let camera = config.views.iter().all(|view| match &view.source {
        SourceConfig::Camera(camera) => camera.device.exists(),
        SourceConfig::Replay(_) => true,
    });
    let lines = config.line.iter().filter(|line| !line.simulated).flat_map(LineSettings::gpio_lines);
    let is_missing = |(key, line): (String, _)| matches!(gpio::find(&key, &line), Err(GpioError::Missing { .. }));
    camera && !lines.into_iter().any(is_missing)
}

/// What the line does with parts, in figures that a person can compare with the machine.
fn summary(line: &LineSettings) -> String {
    let (timings, spacing) = (&line.control.timings, &line.control.spacing);
    let takt = match spacing {
        Travel::Time(spacing) => format!("at most {:.1} parts per second", 1.0 / spacing.as_secs_f64()),
        Travel::Pulses(pulses) => format!("parts at least {pulses} pulses apart"),
    };
    let mut delays: Vec<String> = Vec::new();
    for Timing { delay, .. } in timings {
        let delay = match delay {
            Travel::Time(delay) => format!("{} ms", delay.as_secs_f64() * 1e3),
            Travel::Pulses(pulses) => format!("{pulses} pulses"),
        };
        if !delays.contains(&delay) {
            delays.push(delay);
        }
    }
    let delay = delays.join(" or ");
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

/// A view's source; its rate, if it has one.
fn source_check(checks: &mut Checks, config: &Config, view: usize, started: &[Started]) -> Result<Option<f64>> {
    let View { name, source } = &config.views[view];
    let of_view = |what: &str| if name == MAIN { what.to_owned() } else { format!("{what} of {name}") };
    let camera = match source {
        SourceConfig::Replay(replay) => {
            let images = Replay::open(replay).map(|replay| (format!("{} images to replay", replay.paths().len()), ()));
            checks.add(&of_view("source"), images)?;
            return Ok(Some(replay.rate));
        }
        SourceConfig::Camera(camera) => camera,
    };
    let rate = checks.add(&of_view("camera"), camera_check(config, view, camera))?.flatten();
    if let Some(scene) = &camera.scene {
        checks.add(&of_view("takt"), optics::takt(scene, rate))?;
        checks.add(&of_view("blur"), optics::blur(scene, camera.width))?;
        for (product, Product { name, .. }) in config.products.iter().enumerate() {
            let seat = config.seat(SeatId { product, view });
            let bundle = started.iter().find(|started| started.path == seat.bundle).and_then(|started| started.bundle.as_ref());
            let Some(bundle) = bundle else { continue };
            let found = optics::smallest_defect(scene, camera, seat.region, &bundle.manifest.input);
            let name = if name.is_empty() { "smallest defect".to_owned() } else { format!("smallest defect of {name}") };
            checks.add(&of_view(&name), found)?;
        }
    }
    Ok(rate)
}

/// Whether a camera takes its settings, those of every product.
fn camera_check(config: &Config, view: usize, camera: &CameraConfig) -> detector::Result<(String, Option<f64>)> {
    let device = Device::open(&camera.device)?;
    let agreed = set_up(&device, camera)?;
    for product in 0..config.products.len() {
        device.set_controls(&config.seat(SeatId { product, view }).controls)?;
    }
    let rate = agreed.rate.map_or("a rate it does not tell".into(), |rate| format!("{rate:.2} frames per second"));
    let identity = &device.identity;
    let stable = if camera.device.starts_with("/dev/v4l") {
        ""
    } else {
        "; its path may name another camera after a restart: `camera list` has one that stays"
    };
    let (card, driver, format) = (&identity.card, &identity.driver, camera.format.code());
    let text = format!("{card} ({driver}): {format} {}x{} at {rate}{stable}", camera.width, camera.height);
    Ok((text, agreed.rate))
}
