//! The engines and networks that a user chooses from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::Variant;

/// Which engine runs the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// tract, pure Rust, on the CPU.
    #[default]
    Tract,
    /// ONNX Runtime on the CPU.
    OrtCpu,
    /// ONNX Runtime on an NVIDIA GPU, with CUDA and cuDNN.
    Cuda,
    /// ONNX Runtime on an NVIDIA GPU, with TensorRT; operators that TensorRT does not know run with CUDA.
    Tensorrt,
}

impl EngineKind {
    /// All engines.
    pub const ALL: [EngineKind; 4] = [EngineKind::Tract, EngineKind::OrtCpu, EngineKind::Cuda, EngineKind::Tensorrt];

    /// The name a user chooses it by.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Tract => "tract",
            EngineKind::OrtCpu => "ort-cpu",
            EngineKind::Cuda => "cuda",
            EngineKind::Tensorrt => "tensorrt",
        }
    }

    /// Whether the network runs on a GPU.
    pub fn on_gpu(self) -> bool {
        matches!(self, EngineKind::Cuda | EngineKind::Tensorrt)
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(EngineKind::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("engine {name:?} is unknown; choose from {}", known()))
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which of a bundle's networks runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantChoice {
    /// On a GPU the fused one where the bundle has it, otherwise the float one.
    #[default]
    Auto,
    /// The float backbone.
    Float,
    /// The int8 backbone.
    Int8,
    /// Backbone and memory bank in one graph.
    Fused,
}

impl VariantChoice {
    /// The network that runs on an engine; `has` says whether the bundle has a variant besides the float one. Only ONNX Runtime on a
    /// processor runs the int8 network. The other engines of a list take the network of `auto`, so that a list that wants int8 has
    /// engines to fall back on.
    pub fn on(self, engine: EngineKind, is_alone: bool, has: impl Fn(Variant) -> bool) -> Variant {
        match self {
            VariantChoice::Int8 if is_alone || engine == EngineKind::OrtCpu => Variant::Int8,
            VariantChoice::Auto | VariantChoice::Int8 if engine.on_gpu() && has(Variant::Fused) => Variant::Fused,
            VariantChoice::Auto | VariantChoice::Int8 | VariantChoice::Float => Variant::Float,
            VariantChoice::Fused => Variant::Fused,
        }
    }
}

impl FromStr for VariantChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(VariantChoice::Auto),
            "float" => Ok(VariantChoice::Float),
            "int8" => Ok(VariantChoice::Int8),
            "fused" => Ok(VariantChoice::Fused),
            _ => Err(format!("variant {name:?} is unknown; choose from auto, float, int8, fused")),
        }
    }
}

impl fmt::Display for VariantChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            VariantChoice::Auto => "auto",
            VariantChoice::Float => "float",
            VariantChoice::Int8 => "int8",
            VariantChoice::Fused => "fused",
        })
    }
}

/// Libraries and folders that engines need on this machine. Engines use as many threads as rayon's current pool has, in which all other
/// stages run, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// ONNX Runtime's shared library; `ORT_DYLIB_PATH` of the environment if none.
    pub onnxruntime: Option<PathBuf>,
    /// Folder where TensorRT keeps the engines that it builds from a bundle. Without a folder it builds them at every start.
    pub state: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_wants_int8_has_something_to_fall_back_on() {
        let on = |engine, is_alone, has_fused| {
            VariantChoice::Int8.on(engine, is_alone, |variant| variant == Variant::Fused && has_fused)
        };
        assert_eq!(on(EngineKind::OrtCpu, false, true), Variant::Int8);
        assert_eq!([on(EngineKind::Cuda, false, true), on(EngineKind::Cuda, false, false)], [Variant::Fused, Variant::Float]);
        assert_eq!(on(EngineKind::Tract, false, true), Variant::Float);
        // An engine without a fall-back runs the network that was asked for, or fails.
        assert_eq!(on(EngineKind::Tract, true, false), Variant::Int8);
    }
}
