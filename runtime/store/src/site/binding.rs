//! What a threshold holds for.

use std::fmt::Write;

use config::{Config, SeatId, SourceConfig, as_array};
use detector::Detector;
use detector::bundle::Variant;
use detector::engine::EngineKind;
use serde::{Deserialize, Serialize};

use crate::models::short;

/// What a threshold holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// SHA-256 of the bundle.
    pub bundle: String,
    /// The engine that scored.
    pub engine: EngineKind,
    /// The network that scored.
    pub variant: Variant,
    /// Where the camera is plugged in: its device path. A spare camera in the same port takes its place.
    pub port: String,
    /// Everything that makes the picture: format, size, region, controls.
    pub picture: String,
}

impl Binding {
    /// What this detector would be calibrated for in a seat.
    pub fn of(detector: &Detector, config: &Config, id: SeatId) -> Binding {
        let seat = config.seat(id);
        let (port, mut picture) = match &config.views[id.view].source {
            SourceConfig::Replay(_) => ("replay".into(), "files".into()),
            SourceConfig::Camera(camera) => {
                let mut picture = format!("{} {}x{}", camera.format.code(), camera.width, camera.height);
                // Writing into a string cannot fail.
                if let Some(region) = camera.region {
                    let _ = write!(picture, ", region {:?}", as_array(region));
                }
                if let Some(matrix) = camera.matrix {
                    let _ = write!(picture, ", matrix {matrix:?}");
                }
                if let Some(range) = camera.range {
                    let _ = write!(picture, ", range {range:?}");
                }
                for (name, value) in &seat.controls {
                    let _ = write!(picture, ", {name} {value}");
                }
                (camera.device.display().to_string(), picture)
            }
        };
        if let Some(part) = seat.region {
            let _ = write!(picture, ", part {:?}", as_array(part));
        }
        Binding { bundle: detector.bundle.clone(), engine: detector.engine, variant: detector.variant, port, picture }
    }

    pub(crate) fn file(&self) -> String {
        format!("{}-{}-{}.toml", short(&self.bundle), self.engine, self.variant.name())
    }

    /// The first thing in which another binding differs: what it is, there and here.
    pub(super) fn difference(&self, now: &Binding) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("the bundle", self.bundle.clone(), now.bundle.clone()),
            ("the engine", self.engine.to_string(), now.engine.to_string()),
            ("the network", self.variant.name().into(), now.variant.name().into()),
            ("a camera at the port", self.port.clone(), now.port.clone()),
            ("the picture settings", self.picture.clone(), now.picture.clone()),
        ];
        pairs.into_iter().find(|(_, calibrated, found)| calibrated != found)
    }
}

/// A seat's role: the name by which the state folder keeps what belongs to the seat.
pub fn role_of(config: &Config, SeatId { product, view }: SeatId) -> String {
    role(&config.views[view].name, &config.products[product].name)
}

/// The role of the seat of a view and a product: `VIEW.PRODUCT`, or `VIEW` where the line makes one product only, whose name is empty.
/// Names may hold what no file name should: such bytes become their codes.
pub fn role(view: &str, product: &str) -> String {
    let safe = |name: &str| {
        name.bytes().fold(String::new(), |text, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text + &char::from(byte).to_string(),
            _ => text + &format!("%{byte:02x}"),
        })
    };
    if product.is_empty() { safe(view) } else { format!("{}.{}", safe(view), safe(product)) }
}
