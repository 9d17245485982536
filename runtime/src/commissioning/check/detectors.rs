use std::path::PathBuf;

use config::{Config, SeatId};
use detector::bundle::Bundle;
use detector::calibration::Calibration;
use detector::{Declined, Detector};
use store::Store;
use store::site::{self, SiteError};

use super::report::Report;
use crate::assembly::detectors::Loaded;
use crate::assembly::seats::SeatPlan;
use crate::commissioning::{memory, takt};

/// A bundle of the configuration, if it is sound, and its detector, if its self-test was wanted and passed.
pub(super) struct Started {
    pub(super) path: PathBuf,
    pub(super) bundle: Option<Bundle>,
    detector: Option<Detector>,
}

/// Reads every bundle and starts its detector, which tests itself; `quick` starts none.
pub(super) fn start_all<E>(report: &mut Report<'_, E>, config: &Config, quick: bool) -> Result<Vec<Started>, E> {
    let mut all = Vec::new();
    for path in config.bundles() {
        let bundle = Store::at(&config.runtime.state).bundle(path).map(|bundle| (bundle.id.clone(), bundle));
        let bundle = report.add_with("bundle", bundle)?;
        let detector = match bundle.as_ref().filter(|_| !quick) {
            Some(bundle) => self_test(report, bundle, config)?,
            None => None,
        };
        all.push(Started { path: path.to_owned(), bundle, detector });
    }
    if all.iter().all(|started| started.detector.is_some()) {
        report.add("memory", memory::check(config, all.len()))?;
    }
    Ok(all)
}

/// Starts a detector, which tests itself.
fn self_test<E>(report: &mut Report<'_, E>, bundle: &Bundle, config: &Config) -> Result<Option<Detector>, E> {
    let started = Detector::start(bundle, &config.setup());
    for Declined { engine, reason } in started.iter().flat_map(|detector| &detector.declined) {
        report.note(format!("engine {engine} is not used: {reason}"))?;
    }
    let started = started.map(|detector| {
        let (engine, network) = (detector.engine, detector.network());
        let (difference, tolerance) = (detector.self_test_difference, detector.self_test_tolerance);
        let text =
            format!("on engine {engine}, {network}: scores differ by {difference:.1e}, at most {tolerance:.1e} is accepted");
        (text, detector)
    });
    report.add_with("self-test", started)
}

/// The thresholds of all seats, and whether the detectors keep up with the line, product by product: a part takes as long as all its
/// views. `rate` is that of the first source. Checks nothing where a detector was not started.
pub(super) fn check_speed<E>(
    report: &mut Report<'_, E>,
    config: &Config,
    mut all: Vec<Started>,
    rate: Option<f64>,
) -> Result<(), E> {
    let mut times = Vec::new();
    for started in &mut all {
        let (Some(bundle), Some(detector)) = (&started.bundle, &mut started.detector) else { return Ok(()) };
        match takt::measure(detector, bundle) {
            Ok(measured) => times.push(measured),
            Err(error) => return report.add("latency", Err(error)),
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
        report.add(name.trim_end(), threshold(detector, config, id))?;
    }
    // A plan fails only by its thresholds, which are reported above.
    let Ok(plan) = SeatPlan::new(config, &loaded) else { return Ok(()) };
    for product in 0..config.products.len() {
        let of_views: Vec<_> = plan.detectors_of(product).map(|detector| &times[detector][..]).collect();
        let name = plan.product_name(product);
        let name = if name.is_empty() { "latency".to_owned() } else { format!("latency of {name}") };
        report.add(&name, takt::check(&of_views, config, product, rate))?;
    }
    Ok(())
}

/// The threshold that judges in a seat, beside the bundle's.
fn threshold(detector: &Detector, config: &Config, id: SeatId) -> Result<String, SiteError> {
    let promised = |calibration: &Calibration| format!("{:.4} ({})", calibration.threshold, calibration.describe());
    let of_bundle = promised(&detector.calibration);
    if let Some(threshold) = config.seat(id).threshold {
        return Ok(format!("the configuration's {threshold:.4}; the bundle's {of_bundle}"));
    }
    Ok(match site::of(config, detector, id)? {
        Some(site) => format!("this site's {}, by {}; the bundle's {of_bundle}", promised(&site.calibration), site.by),
        None => format!("the bundle's {of_bundle}; none of this site, see `apc-runtime calibrate`"),
    })
}
