//! What `evaluate --json` prints.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The figures that the chores show; a figure that has no meaning for the images is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Images scored.
    pub images: usize,
    /// Good ones among them.
    pub good: usize,
    /// Anomalous ones among them.
    pub anomalous: usize,
    /// 0..1
    pub image_auroc: Option<f64>,
    /// Best over thresholds.
    pub image_f1: Option<f64>,
    /// 0..1
    pub pixel_auroc: Option<f64>,
    /// Best over thresholds.
    pub pixel_f1: Option<f64>,
    /// Up to a false-positive rate of 0.3.
    pub aupro: Option<f64>,
    /// Anomalous images that pass, at the bundle's threshold.
    pub miss_rate: Option<f64>,
    /// Good images that do not, at the bundle's threshold.
    pub false_reject_rate: Option<f64>,
    /// Engine that ran the backbone.
    pub engine: String,
    /// One image, from picture to score.
    pub latency_ms: Latency,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95 of 100 are at most this long.
    pub p95: f64,
}

impl Latency {
    /// Percentiles (nearest rank); `None` when there is nothing.
    pub fn of(mut milliseconds: Vec<f64>) -> Option<Self> {
        milliseconds.sort_by(f64::total_cmp);
        let last = milliseconds.len().checked_sub(1)?;
        let at = |share: f64| milliseconds[((share * milliseconds.len() as f64).ceil() as usize).saturating_sub(1).min(last)];
        Some(Self { p50: at(0.5), p95: at(0.95) })
    }
}

impl Figures {
    /// Reads a file that holds them.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, path)
    }

    /// Reads what a program printed; `origin` is for the error.
    pub fn parse(text: &str, origin: &Path) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("{}: not the figures of an evaluation", origin.display()))
    }
}

/// A figure as text, with this many digits after the point.
pub fn show(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.digits$}"))
}
