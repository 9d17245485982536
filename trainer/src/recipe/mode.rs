//! The methods of learning, as a recipe names them.

use serde::{Deserialize, Serialize};

/// The method of learning; each has a module in `methods`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// PatchCore: a memory bank of good images on pretrained features.
    PatchCore,
    /// AnomalousPatchCore (arXiv 2408.15113): the backbone is fine-tuned with a few anomalous samples first.
    Apc,
    /// PatchCore, and a defect head on the same features that learns from a few anomalous samples
    /// (docs/decisions/0020-a-defect-head.md).
    #[serde(rename = "apc+")]
    ApcPlus,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::PatchCore => "patchcore",
            Mode::Apc => "apc",
            Mode::ApcPlus => "apc+",
        })
    }
}
