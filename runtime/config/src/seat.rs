//! Views, products and seats.

use std::path::PathBuf;

use detector::preprocess::Rect;

use crate::camera::Controls;
use crate::source::SourceConfig;

/// The name of the view of `[source]`.
pub const MAIN: &str = "main";

/// A camera that looks at each part.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its name; [`MAIN`] for the camera of `[source]`.
    pub name: String,
    /// Where its frames come from.
    pub source: SourceConfig,
}

/// What the production line makes at a time (`[recipes.NAME]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    /// Its name; empty on a line without `[recipes]`.
    pub name: String,
    /// The code that chooses it, where products are chosen by code.
    pub code: Option<u32>,
}

/// One view with one product, by their numbers: their places in [`crate::Config::views`] and [`crate::Config::products`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatId {
    /// The product's number.
    pub product: usize,
    /// The view's number.
    pub view: usize,
}

/// The settings for one view of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// The bundle, `NAME.apc`, or [`crate::ACTIVE`].
    pub bundle: PathBuf,
    /// Region of the pictures that the detector gets; the whole picture if none.
    pub region: Option<Rect>,
    /// Threshold that replaces the site threshold and the threshold of the bundle.
    pub threshold: Option<f32>,
    /// All controls of the camera while the line makes the product.
    pub controls: Controls,
}
