//! The names of the kinds.

use serde::{Deserialize, Serialize};

/// How a detector works. A bundle that does not name its kind is a PatchCore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Kind {
    /// A backbone, patch descriptors and a memory bank of good patches.
    #[default]
    PatchCore,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 1] = [Kind::PatchCore];

    /// The name in a bundle's manifest.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PatchCore => "patchcore",
        }
    }

    /// Whether a manifest may leave the kind out, as those of older versions do.
    pub(crate) fn is_default(&self) -> bool {
        *self == Kind::default()
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Kind, String> {
        let known = Kind::ALL.map(Kind::name).join(", ");
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("detector kind {name:?} is unknown; this version knows {known}: update this program"))
    }
}
