//! The configuration as it is written: one type for each section, one field for each key.
//!
//! A section whose keys do not depend on other keys has its checked type here already ([`crate::source`], [`crate::camera`] ...).

mod line;
mod product;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub(crate) use line::{RawEncoder, RawGpioLine, RawLine, RawOutput, RawOutputs, RawSelection, RawTrigger, TriggerMode};
pub(crate) use product::{RawOverlay, RawProduct, RawView};

use crate::config::{ACTIVE, RuntimeConfig};
use crate::detector_section::DetectorConfig;
use crate::golden::GoldenLimits;
use crate::log_section::LogConfig;
use crate::output::{STANDARD_OUTPUT, VerdictsConfig};
use crate::source::{FramesConfig, SourceConfig};

/// A whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub detector: DetectorConfig,
    pub source: SourceConfig,
    #[serde(default)]
    pub views: BTreeMap<String, RawView>,
    #[serde(default)]
    pub recipes: BTreeMap<String, RawProduct>,
    #[serde(default)]
    pub frames: FramesConfig,
    #[serde(default)]
    pub line: Option<Spanned<RawLine>>,
    #[serde(default)]
    pub golden: GoldenLimits,
    #[serde(default)]
    pub output: VerdictsConfig,
    #[serde(default)]
    pub log: LogConfig,
    #[serde(default)]
    pub runtime: RuntimeConfig,
}

impl RawConfig {
    /// Resolves every path against `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        [&mut self.runtime.onnxruntime, &mut self.runtime.state]
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
            .for_each(resolve);
        self.bundles_mut().filter(|bundle| bundle.as_os_str() != ACTIVE).for_each(resolve);
        let views = self.views.values_mut().map(|view| &mut view.source);
        views.chain([&mut self.source]).for_each(|source| source.resolve(folder));
        if let Some(line) = &mut self.line {
            line.get_mut().paths_mut().for_each(resolve);
        }
        if self.output.verdicts.as_os_str() != STANDARD_OUTPUT {
            resolve(&mut self.output.verdicts);
        }
    }

    /// Every bundle that the configuration names.
    pub fn bundles(&self) -> impl Iterator<Item = &PathBuf> {
        let of_views = self.views.values().filter_map(|view| view.bundle.as_ref());
        let of_products = self.recipes.values().flat_map(RawProduct::bundles);
        [&self.detector.bundle].into_iter().chain(of_views).chain(of_products)
    }

    fn bundles_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_views = self.views.values_mut().filter_map(|view| view.bundle.as_mut());
        let of_products = self.recipes.values_mut().flat_map(RawProduct::bundles_mut);
        [&mut self.detector.bundle].into_iter().chain(of_views).chain(of_products)
    }
}
