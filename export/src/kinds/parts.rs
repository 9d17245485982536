//! What the exporter needs to know of a kind of detector.

use std::collections::BTreeMap;

use detector::bundle::{BackboneFile, DetectorInfo, Manifest, SelfTest, Variant, VariantSection};
use detector::calibration::Calibration;
use detector::engine::Engine;
use detector::network::Network;
use detector::preprocess::{Preprocess, Size};
use detector::scorer::Scorer;
use detector::tensors::Tensors;

use crate::error::Result;
use crate::gate::Gate;

/// The parts of a run's detector beside its network. All scorers but the fused one take an engine that runs the network.
pub trait Parts {
    /// A scorer with the parts as the trainer wrote them: libtorch scored the references with these.
    ///
    /// # Errors
    /// When a file of the run is missing or unsound.
    fn trained_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Result<Box<dyn Scorer + 'e>>;

    /// A scorer with the parts as the bundle stores them; the engine may run the int8 form of the network.
    fn scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e>;

    /// Bounds the difference between [`Parts::trained_scorer`] and [`Parts::scorer`]; `None` where the parts are stored as they are.
    fn rounding(&self) -> Option<Gate>;

    /// A scorer without anything that learned from the anomalous samples; `None` where that cannot be taken out.
    ///
    /// # Errors
    /// When a file of the run is unsound.
    fn untaught_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Result<Option<Box<dyn Scorer + 'e>>>;

    /// Bytes of an ONNX file with the network and these parts in one graph.
    ///
    /// # Errors
    /// When a weight does not fit the network, or the parts do not fit its results.
    fn fused(&self, network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>>;

    /// A scorer over an engine that runs [`Parts::fused`].
    fn fused_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e>;

    /// Names and bytes of the bundle's entries with these parts.
    ///
    /// # Errors
    /// When a part cannot be written.
    fn entries(&self) -> Result<BTreeMap<String, Vec<u8>>>;

    /// The bundle's manifest.
    fn manifest(&self, shared: Shared) -> Manifest;
}

/// The sections of a manifest that every kind has.
pub struct Shared {
    /// Who and when.
    pub detector: DetectorInfo,
    /// Preprocessing.
    pub input: Preprocess,
    /// The network.
    pub backbone: BackboneFile,
    /// The threshold and its promise.
    pub calibration: Calibration,
    /// The self-test of the float form.
    pub self_test: SelfTest,
    /// Other forms of the network.
    pub variants: BTreeMap<Variant, VariantSection>,
}
