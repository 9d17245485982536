//! Output of the commands on standard output.

use std::io::Write;

use anyhow::{Context, Result};
use detector::evaluate::Figures;

/// Name and value of each figure, `-` where it has no meaning for the images.
pub(super) fn rows(figures: &Figures) -> Vec<(&'static str, String)> {
    let show = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
    vec![
        ("images", format!("{} ({} good, {} anomalous)", figures.images, figures.good, figures.anomalous)),
        ("image AUROC", show(figures.image_auroc)),
        ("image F1 (best)", show(figures.image_f1)),
        ("pixel AUROC", show(figures.pixel_auroc)),
        ("pixel F1 (best)", show(figures.pixel_f1)),
        ("AUPRO (0.3)", show(figures.aupro)),
        ("false-reject rate", show(figures.false_reject_rate)),
        ("miss rate", show(figures.miss_rate)),
    ]
}

/// Writes a line to standard output. A reader that has closed its end is not an error.
pub(super) fn say(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
