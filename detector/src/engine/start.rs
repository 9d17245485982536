//! Starting the engine that was asked for, and no other.

use super::interface::Engine;
use super::kind::{EngineKind, Machine};
use crate::bundle::Variant;
use crate::preprocess::Size;
use crate::{EngineFault, Error, Result};

/// Starts an engine with a network for one image of the given size; `bundle` is the id under which TensorRT keeps what it builds.
///
/// # Errors
/// When the engine does not run such networks, is not in this build, or cannot start.
#[cfg_attr(
    not(all(feature = "tract", feature = "ort")),
    allow(unused_variables, reason = "an engine that is left out takes nothing")
)]
pub(crate) fn start(
    (onnx, variant): (&[u8], Variant),
    size: Size,
    engine: EngineKind,
    machine: &Machine,
    bundle: &str,
) -> Result<Box<dyn Engine>> {
    if engine == EngineKind::Tract && variant != Variant::Float {
        let others = if variant == Variant::Int8 { "ort-cpu" } else { "ort-cpu, cuda or tensorrt" };
        let problem = format!("runs the float network only; the {} one needs ONNX Runtime: {others}", variant.name());
        return Err(Error::engine(engine.name(), EngineFault::Variant, problem));
    }
    if engine.on_gpu() && variant == Variant::Int8 {
        let problem = "does not run the int8 network, which is for processors: choose variant fused or float";
        return Err(Error::engine(engine.name(), EngineFault::Variant, problem));
    }
    match engine {
        #[cfg(feature = "tract")]
        EngineKind::Tract => Ok(Box::new(super::tract::TractEngine::load(onnx, size)?)),
        #[cfg(feature = "ort")]
        EngineKind::OrtCpu | EngineKind::Cuda | EngineKind::Tensorrt => {
            Ok(Box::new(super::ort::OrtEngine::load((onnx, variant), size, engine, machine, bundle)?))
        }
        #[cfg(not(all(feature = "tract", feature = "ort")))]
        missing => Err(Error::engine(missing.name(), EngineFault::NotBuilt, "was left out of this build")),
    }
}
