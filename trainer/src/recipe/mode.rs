//! The methods of learning, as a recipe names them.

use serde::{Deserialize, Serialize};

/// How the backbone learns before the memory bank is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not at all: pretrained features, good images only.
    PatchCore,
    /// Fine-tuned with a few anomalous samples (AnomalousPatchCore, arXiv 2408.15113).
    Apc,
    /// Pretrained features as they are, and a defect head on them that learns from a few anomalous samples
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
