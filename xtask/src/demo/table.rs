//! The table at the demo's end.

use detector::evaluate::Figures;

use super::line::Counts;
use crate::figures::show;

/// Figures on unseen images, and the verdicts on the production line.
pub fn table(name: &str, pretrained: bool, figures: &Figures, counts: &Counts) -> String {
    let start = if pretrained { "pretrained weights" } else { "a network of rendered parts" };
    let mut rows = vec![
        ("product", format!("{name}, {start}, {} unseen images ({} anomalous)", figures.images, figures.anomalous)),
        ("image AUROC", show(figures.image_auroc, 4)),
        ("image F1 (best)", show(figures.image_f1, 4)),
        ("pixel AUROC", show(figures.pixel_auroc, 4)),
        ("AUPRO (0.3)", show(figures.aupro, 4)),
        (
            "latency of scoring",
            format!("p50 {:.0} ms, p95 {:.0} ms ({})", figures.latency_ms.p50, figures.latency_ms.p95, figures.engine),
        ),
        ("production line", format!("{} parts", counts.parts())),
        ("  passed", format!("{} right, {} wrong (missed defects)", counts.passed_right, counts.missed)),
        ("  rejected", format!("{} right, {} wrong", counts.rejected_right, counts.rejected_wrong)),
        ("  unknown", counts.unknown.to_string()),
    ];
    if let Some(latency) = counts.latency {
        rows.push(("  latency, frame to verdict", format!("p50 {:.0} ms, p95 {:.0} ms", latency.p50, latency.p95)));
    }
    rows.iter().map(|(what, value)| format!("{what:28}{value}\n")).collect()
}
