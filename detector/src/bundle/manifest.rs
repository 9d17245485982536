//! The manifest, `manifest.toml`: what a bundle holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bank::Quantisation;
use crate::calibration::Calibration;
use crate::descriptor::PatchDescriptor;
use crate::kinds::kind::Kind;
use crate::map::Smoothing;
use crate::network::Backbone;
use crate::preprocess::{Preprocess, Rect};
use crate::scorer::KnownDefects;

/// Format that this version writes. Older formats are read, newer ones refused. Since format 2, networks may have a defect head. Since
/// format 3, distances may be means over a neighbourhood, and a fused graph gives distances and logits separately. Since format 4, thresholds
/// may be estimated. Since format 5, what good parts have at each place may be taken off the score.
pub const FORMAT: u32 = 5;
/// The first format whose fused graph leaves the defect head's share to the scorer.
pub const FUSED_APART: u32 = 3;
/// Largest manifest.
const SIZE_LIMIT: usize = 1 << 20;

/// Content of `manifest.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`]
    pub format: u32,
    /// Product, method and origin.
    pub detector: DetectorInfo,
    /// How a picture becomes the network's input.
    pub input: Preprocess,
    /// The network.
    pub backbone: BackboneFile,
    /// Patch descriptor.
    pub descriptor: PatchDescriptorSection,
    /// The memory bank.
    pub bank: BankFile,
    /// How distances become a score and a map.
    pub smoothing: Smoothing,
    /// How the network's defect head joins the distances, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defects: Option<KnownDefects>,
    /// Entry of the safetensors file with what good parts have at each place, if that does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<String>,
    /// The threshold and the false-reject rate that it promises.
    pub calibration: Calibration,
    /// The test that every engine must pass before its verdicts count.
    pub self_test: SelfTest,
    /// Other forms of the network, each with a threshold and a self-test of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<Variant, VariantSection>,
    /// SHA-256 of every other entry.
    pub files: BTreeMap<String, String>,
}

/// Product, method and origin of a detector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorInfo {
    /// Name of the product.
    pub name: String,
    /// How the detector works.
    #[serde(default, skip_serializing_if = "Kind::is_default")]
    pub kind: Kind,
    /// How it was trained: `patchcore`, `apc` or `apc+`.
    pub mode: String,
    /// Version of the kit that exported it.
    pub kit: String,
    /// End of training, seconds since 1970, UTC.
    pub created: u64,
    /// Seed of the training.
    pub seed: u64,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneFile {
    /// Entry of the ONNX file; its outputs are the structure's layers.
    pub file: String,
    /// Structure.
    pub structure: Backbone,
}

/// Patch descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchDescriptorSection {
    /// The kind of descriptor.
    pub kind: PatchDescriptor,
}

/// The memory bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankFile {
    /// Entry of the safetensors file.
    pub file: String,
    /// How vectors are stored.
    pub quantisation: Quantisation,
    /// Number of vectors.
    pub vectors: usize,
    /// Values of one vector.
    pub dims: usize,
}

/// The test that every engine must pass before its verdicts count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// Largest accepted relative difference of an image score.
    pub tolerance: f32,
    /// Pictures and their scores.
    pub references: Vec<Reference>,
}

/// A network-size picture and its score at export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Entry of the PNG file.
    pub file: String,
    /// Where the picture lies in the input.
    pub content: Rect,
    /// Image score at export.
    pub score: f32,
}

/// Forms of a bundle's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The float backbone, which every bundle has.
    Float,
    /// The backbone in int8.
    Int8,
    /// Backbone, descriptor and memory bank in one graph.
    Fused,
}

impl Variant {
    /// The name a user chooses it by.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Float => "float",
            Variant::Int8 => "int8",
            Variant::Fused => "fused",
        }
    }
}

/// A form of the network besides the float backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSection {
    /// Entry of the ONNX file.
    pub file: String,
    /// Its own threshold and the false-reject rate that it promises.
    pub calibration: Calibration,
    /// Its own self-test.
    pub self_test: SelfTest,
}

/// The version alone: a newer manifest may hold keys that this version does not know.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// A message without the file's name.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        if bytes.len() > SIZE_LIMIT {
            return Err(format!("manifest has {} bytes; at most {SIZE_LIMIT} were expected", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "manifest is not UTF-8 text")?;
        let Version { format } = toml::from_str(text).map_err(|error| format!("manifest is unsound: {error}"))?;
        if format == 0 || format > FORMAT {
            return Err(format!(
                "has bundle format {format}; this version reads up to {FORMAT}: update apc-runtime, or export with an older kit"
            ));
        }
        let manifest: Manifest = toml::from_str(text).map_err(|error| format!("manifest is unsound: {error}"))?;
        manifest.check().map(|()| manifest).map_err(|problem| format!("manifest is unsound: {problem}"))
    }

    fn check(&self) -> Result<(), String> {
        let valid = self.input.validate().and_then(|()| self.calibration.validate());
        valid.and_then(|()| self.backbone.structure.network().map(drop)).map_err(|error| error.to_string())?;
        KnownDefects::validate(self.defects, self.backbone.structure.defect_units).map_err(|error| error.to_string())?;
        self.smoothing.validate().map_err(|error| error.to_string())?;
        if self.variants.contains_key(&Variant::Float) {
            return Err("the float backbone is no variant".into());
        }
        self.check_self_test(&self.self_test)?;
        for (variant, section) in &self.variants {
            let of = |problem: String| format!("variant {}: {problem}", variant.name());
            section.calibration.validate().map_err(|error| of(error.to_string()))?;
            self.check_self_test(&section.self_test).map_err(of)?;
        }
        Ok(())
    }

    fn check_self_test(&self, self_test: &SelfTest) -> Result<(), String> {
        let size = self.input.input();
        let inside = |at: u32, length: u32, most: u32| length > 0 && at.checked_add(length).is_some_and(|end| end <= most);
        let tolerance = self_test.tolerance;
        if !(tolerance > 0.0 && tolerance <= 0.1) || self_test.references.is_empty() {
            return Err("the self-test needs references and a tolerance of at most 0.1".into());
        }
        for reference in &self_test.references {
            let Rect { x, y, width, height } = reference.content;
            if !inside(x, width, size.width) || !inside(y, height, size.height) || !reference.score.is_finite() {
                return Err(format!("reference {:?} does not fit", reference.file));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_without_a_kind_is_a_patchcore_and_an_unknown_kind_is_refused_by_name() {
        let plain = "name = \"ring\"\nmode = \"apc\"\nkit = \"0.1.0\"\ncreated = 1\nseed = 2\n";
        let parse = |kind: &str| toml::from_str::<DetectorInfo>(&format!("{plain}{kind}"));
        let old = parse("").unwrap();
        assert_eq!(old.kind, Kind::PatchCore);
        assert_eq!(parse("kind = \"patchcore\"").unwrap(), old);
        // Older versions, which do not know the key, still read what this one writes.
        assert_eq!(toml::to_string(&old).unwrap(), plain);
        let error = parse("kind = \"prnet\"").unwrap_err().to_string();
        assert!(error.contains("\"prnet\" is unknown") && error.contains("patchcore"), "{error}");
    }
}
