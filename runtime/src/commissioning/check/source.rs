use config::{CameraConfig, Config, MAIN, Product, SeatId, SourceConfig, View};

use super::detectors::Started;
use super::report::Report;
use crate::camera::Replay;
use crate::camera::v4l2::device::Device;
use crate::camera::v4l2_source::set_up;
use crate::commissioning::optics;

/// A view's source, and what its camera can see of the parts. Gives the source's rate in frames per second, if it has one.
pub(super) fn check<E>(report: &mut Report<'_, E>, config: &Config, view: usize, started: &[Started]) -> Result<Option<f64>, E> {
    let View { name, source } = &config.views[view];
    let of_view = |check: &str| if name == MAIN { check.to_owned() } else { format!("{check} of {name}") };
    let camera = match source {
        SourceConfig::Replay(replay) => {
            let images = Replay::open(replay).map(|replay| format!("{} images to replay", replay.paths().len()));
            report.add(&of_view("source"), images)?;
            return Ok(Some(replay.rate));
        }
        SourceConfig::Camera(camera) => camera,
    };
    let rate = report.add_with(&of_view("camera"), check_camera(config, view, camera))?.flatten();
    if let Some(scene) = &camera.scene {
        report.add(&of_view("takt"), optics::takt(scene, rate))?;
        report.add(&of_view("blur"), optics::blur(scene, camera.width))?;
        for (product, Product { name, .. }) in config.products.iter().enumerate() {
            let seat = config.seat(SeatId { product, view });
            let bundle = started.iter().find(|started| started.path == seat.bundle).and_then(|started| started.bundle.as_ref());
            let Some(bundle) = bundle else { continue };
            let smallest = optics::smallest_defect(scene, camera, seat.region, &bundle.manifest.input);
            let name = if name.is_empty() { "smallest defect".to_owned() } else { format!("smallest defect of {name}") };
            report.add(&of_view(&name), smallest)?;
        }
    }
    Ok(rate)
}

/// Whether a camera takes its settings, those of every product.
fn check_camera(config: &Config, view: usize, camera: &CameraConfig) -> detector::Result<(String, Option<f64>)> {
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
