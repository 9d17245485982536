//! Which engine and network of a bundle a detector uses: part of every JSON document about scores.

use detector::engine::EngineKind;
use detector::{Declined, Detector};
use serde::Serialize;

/// The engine and network that a started detector uses.
#[derive(Clone, Debug, Serialize)]
pub struct EngineInUse {
    /// The engine.
    pub engine: EngineKind,
    /// Name of the network's variant: `float`, `int8`, `fused`.
    pub variant: &'static str,
    /// Share of the threshold within which the float network decides; left out where only one network scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_look: Option<f32>,
    /// Engines that stand earlier in the list of engines, and why they were not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<Declined>,
}

impl EngineInUse {
    /// The engine and network of a detector.
    pub fn of(detector: &Detector) -> EngineInUse {
        EngineInUse {
            engine: detector.engine,
            variant: detector.variant.name(),
            second_look: (detector.second_look > 0.0).then_some(detector.second_look),
            declined: detector.declined.clone(),
        }
    }
}
