//! Opens the sources of a configuration.

use config::{Binding, CameraConfig, Config, SeatId, SourceConfig};
use detector::Error;

use crate::camera::{Camera, Replay, Source};

/// Opens the source of a view, on the settings of a product.
///
/// # Errors
/// When a camera is missing or cannot do what is configured, or images are missing.
pub fn open(config: &Config, SeatId { product, view }: SeatId) -> detector::Result<Box<dyn Source>> {
    let sensor_waits = config.line.as_ref().is_some_and(|line| line.trigger.sensor_waits);
    match &config.views[view].source {
        SourceConfig::Replay(replay) => {
            let mut replay = Replay::open(replay)?.with_product(product);
            if sensor_waits {
                replay.wait_for_triggers();
            }
            Ok(Box::new(replay))
        }
        SourceConfig::Camera(camera) => {
            if sensor_waits && !camera.triggered {
                let problem =
                    "the trigger of the line goes to the sensor, but the key `triggered` of this camera is false: set it to true";
                return Err(Error::file(&camera.device, problem));
            }
            // A trigger that looks for its frame in a window notices a lost frame itself. Otherwise the camera must report the lost frame.
            let each_frame_is_a_part = config.frames.bind == Binding::Part && (config.line.is_none() || sensor_waits);
            let controls = |product| config.seat(SeatId { product, view }).controls.clone();
            let camera = CameraConfig { controls: controls(product), ..camera.clone() };
            let of_products = (0..config.products.len()).map(controls).collect();
            Ok(Box::new(Camera::open(&camera, each_frame_is_a_part)?.with_products(of_products, product)))
        }
    }
}
