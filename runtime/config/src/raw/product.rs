//! `[views]` and `[recipes]` as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use detector::preprocess::Rect;
use serde::Deserialize;

use crate::bounds::{some_ms, some_pulses, some_threshold};
use crate::camera::Controls;
use crate::region::some_region;
use crate::seat::MAIN;
use crate::source::SourceConfig;

/// `[views.NAME]`: another camera that looks at the same parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawView {
    pub bundle: Option<PathBuf>,
    #[serde(default, deserialize_with = "some_region")]
    pub region: Option<Rect>,
    #[serde(default, deserialize_with = "some_threshold")]
    pub threshold: Option<f32>,
    pub source: SourceConfig,
}

/// `[recipes.NAME]`: settings that differ from the rest of the configuration while the line makes this product.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawProduct {
    pub code: Option<u32>,
    #[serde(deserialize_with = "some_ms")]
    pub delay_ms: Option<Duration>,
    #[serde(deserialize_with = "some_pulses")]
    pub delay_pulses: Option<u32>,
    #[serde(deserialize_with = "some_ms")]
    pub deadline_ms: Option<Duration>,
    bundle: Option<PathBuf>,
    #[serde(deserialize_with = "some_region")]
    region: Option<Rect>,
    #[serde(deserialize_with = "some_threshold")]
    threshold: Option<f32>,
    controls: Controls,
    pub views: BTreeMap<String, RawOverlay>,
}

/// Settings of one view that differ for a product.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawOverlay {
    pub bundle: Option<PathBuf>,
    #[serde(deserialize_with = "some_region")]
    pub region: Option<Rect>,
    #[serde(deserialize_with = "some_threshold")]
    pub threshold: Option<f32>,
    /// Added to the controls of the camera, which they override.
    pub controls: Controls,
}

impl RawProduct {
    /// The settings that differ for a view. Those of the view of `[source]` are written in the section of the product itself.
    pub fn overlay(&self, view: &str) -> RawOverlay {
        if view != MAIN {
            return self.views.get(view).cloned().unwrap_or_default();
        }
        let RawProduct { bundle, region, threshold, controls, .. } = self;
        RawOverlay { bundle: bundle.clone(), region: *region, threshold: *threshold, controls: controls.clone() }
    }

    pub fn bundles(&self) -> impl Iterator<Item = &PathBuf> {
        self.bundle.iter().chain(self.views.values().filter_map(|overlay| overlay.bundle.as_ref()))
    }

    pub fn bundles_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.bundle.iter_mut().chain(self.views.values_mut().filter_map(|overlay| overlay.bundle.as_mut()))
    }
}
