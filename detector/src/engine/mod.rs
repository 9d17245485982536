//! Engines run the backbone; all give the same feature maps up to their arithmetic.

#[cfg(feature = "tract")]
mod tract;

#[cfg(feature = "tract")]
pub use tract::TractEngine;

use crate::Result;
use crate::descriptor::FeatureMap;

/// Runs the backbone on one image.
pub trait Engine: Send {
    /// The name a user chooses it by.
    fn name(&self) -> &'static str;

    /// Feature maps of a normalised image `[3, height, width]`, in the order of the backbone's layers.
    ///
    /// # Errors
    /// When the input has another length or the engine fails.
    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>>;
}

impl<E: Engine> Engine for &mut E {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        (**self).run(input)
    }
}

/// Which engine runs the backbone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// tract, pure Rust, on the CPU.
    #[default]
    Tract,
}

impl std::str::FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "tract" => Ok(EngineKind::Tract),
            _ => Err(format!("engine {name:?} is unknown; this build has: tract")),
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EngineKind::Tract => "tract",
        })
    }
}
