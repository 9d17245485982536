//! The checked line configuration.

use std::path::{Path, PathBuf};

use detector::Setup;
use detector::engine::Machine;
use serde::Deserialize;

use crate::detector_section::DetectorConfig;
use crate::golden::GoldenLimits;
use crate::line::{LineSettings, Selection};
use crate::log_section::LogConfig;
use crate::output::VerdictsConfig;
use crate::seat::{Product, Seat, SeatId, View};
use crate::source::FramesConfig;

/// The bundle that stands for the active model of the state folder.
pub const ACTIVE: &str = "active";
/// Most cameras that look at one part.
pub const VIEWS_LIMIT: usize = 8;
/// Most products of a line: their detectors are all in memory.
pub const PRODUCTS_LIMIT: usize = 64;
/// Longest name of a view or product in bytes: a product's name comes in a datagram of limited length.
pub const NAME_LIMIT: usize = 64;

/// A checked line configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which bundle judges, and which engines may run it.
    pub detector: DetectorConfig,
    /// The cameras that look at each part; the first is that of `[source]`.
    pub views: Vec<View>,
    /// The products that the line makes, one at a time; a line without `[recipes]` has one product without a name.
    pub products: Vec<Product>,
    /// The seats: for each product one for each view.
    pub(crate) seats: Vec<Seat>,
    /// What happens to waiting frames.
    pub frames: FramesConfig,
    /// The production line around the camera.
    pub line: Option<LineSettings>,
    /// How far a camera may deviate from its golden part.
    pub golden: GoldenLimits,
    /// Where verdict lines go.
    pub output: VerdictsConfig,
    /// Which log lines go to standard error.
    pub log: LogConfig,
    /// Libraries and folders of this machine.
    pub runtime: RuntimeConfig,
}

/// `[runtime]`: libraries and folders of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// ONNX Runtime's shared library, for the engines `ort-cpu`, `cuda` and `tensorrt`; if empty, `ORT_DYLIB_PATH` names it.
    pub onnxruntime: PathBuf,
    /// The state folder; empty if this camera keeps no state.
    pub state: PathBuf,
}

impl RuntimeConfig {
    /// The state folder, if one is named.
    pub fn state(&self) -> Option<&Path> {
        named(&self.state)
    }

    fn machine(&self) -> Machine {
        Machine { onnxruntime: named(&self.onnxruntime).map(Path::to_owned), state: named(&self.state).map(Path::to_owned) }
    }
}

fn named(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

impl Config {
    /// Engines, variant and machine for the detectors.
    pub fn setup(&self) -> Setup {
        let DetectorConfig { engines, variant, second_look, .. } = &self.detector;
        Setup { engines: engines.clone(), variant: *variant, second_look: *second_look, machine: self.runtime.machine() }
    }

    /// The product that a service begins with.
    pub fn first_product(&self) -> usize {
        match self.line.as_ref().and_then(|line| line.selection.as_ref()) {
            Some(Selection::Socket { start, .. }) => *start,
            Some(Selection::Code { .. }) | None => 0,
        }
    }

    /// Whether the line makes one product that has no name.
    pub fn has_one_nameless_product(&self) -> bool {
        matches!(&self.products[..], [product] if product.name.is_empty())
    }

    /// Every seat: product by product, view by view.
    pub fn seats(&self) -> impl Iterator<Item = (SeatId, &Seat)> {
        let views = self.views.len();
        self.seats.iter().enumerate().map(move |(place, seat)| (SeatId { product: place / views, view: place % views }, seat))
    }

    /// A seat of this configuration.
    ///
    /// # Panics
    /// When the configuration has no product or no view of this number.
    pub fn seat(&self, SeatId { product, view }: SeatId) -> &Seat {
        assert!(product < self.products.len() && view < self.views.len(), "no seat of product {product}, view {view}");
        &self.seats[product * self.views.len() + view]
    }

    /// Every bundle that a seat names, each once, in the order of the seats.
    pub fn bundles(&self) -> Vec<&Path> {
        let mut bundles: Vec<&Path> = Vec::new();
        for seat in &self.seats {
            if !bundles.contains(&seat.bundle.as_path()) {
                bundles.push(&seat.bundle);
            }
        }
        bundles
    }

    /// Replaces the bundle of all seats. Returns `false` and changes nothing if the seats name several bundles.
    pub fn replace_bundle(&mut self, bundle: &Path) -> bool {
        let is_one = self.bundles().len() == 1;
        if is_one {
            self.detector.bundle = bundle.to_owned();
            self.seats.iter_mut().for_each(|seat| seat.bundle = bundle.to_owned());
        }
        is_one
    }
}
