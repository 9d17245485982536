//! The table of `bench learning`.

use std::collections::{BTreeMap, BTreeSet};

use super::Cell;
use crate::figures::show;

/// A figure's name and where it stands.
type Column = (&'static str, fn(&Cell) -> Option<f64>);

const COLUMNS: [Column; 8] = [
    ("AUROC img", |cell| cell.image_auroc),
    ("F1 img", |cell| cell.image_f1),
    ("AUROC px", |cell| cell.pixel_auroc),
    ("F1 px", |cell| cell.pixel_f1),
    ("AUPRO", |cell| cell.aupro),
    ("missed", |cell| cell.miss_rate),
    ("false rej", |cell| cell.false_reject_rate),
    ("train s", |cell| Some(cell.train_seconds)),
];

/// Mean and spread over the seeds of every product and system, then the mean over products with the image-level error relative to the
/// first system's.
pub(super) fn table(cells: &[Cell], systems: &[&str]) -> String {
    let mut text = format!("{:18}{:12}", "product", "system");
    COLUMNS.iter().for_each(|(name, _)| text += &format!("{name:>20}"));
    text += "\n";
    let products: BTreeSet<&str> = cells.iter().map(|cell| cell.data.as_str()).collect();
    let mut means: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    for product in &products {
        for system in systems {
            let these: Vec<&Cell> =
                cells.iter().filter(|cell| (cell.data.as_str(), cell.system.as_str()) == (product, system)).collect();
            text += &format!("{product:18}{system:12}");
            let mut row = Vec::new();
            for (_, value) in COLUMNS {
                let values: Vec<f64> = these.iter().filter_map(|cell| value(cell)).collect();
                let (mean, spread) = mean_and_spread(&values);
                row.push(mean.unwrap_or(f64::NAN));
                text += &format!("{:>20}", format!("{} ±{}", show(mean, 4), show(spread, 4)));
            }
            means.entry(system).or_default().push(row);
            text += "\n";
        }
    }
    let error = |system: &str| {
        let rows = means.get(system)?;
        Some(rows.iter().map(|row| 1.0 - row[0]).sum::<f64>() / rows.len() as f64)
    };
    let first = systems.first().and_then(|system| error(system));
    for system in systems {
        let Some(rows) = means.get(system) else { continue };
        text += &format!("{:18}{system:12}", "mean");
        for column in 0..COLUMNS.len() {
            let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            text += &format!("{:>20}", show(mean_and_spread(&values).0.filter(|mean| mean.is_finite()), 4));
        }
        let relative = error(system).zip(first).map(|(error, first)| error / first);
        text += &format!("   image error x {}\n", show(relative, 3));
    }
    text
}

/// Mean and standard deviation (of the sample); none without values.
fn mean_and_spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    #[test]
    fn the_table_has_means_spreads_and_the_relative_error() {
        let cells = [
            cell("a", "patchcore", 0, 0.90),
            cell("a", "patchcore", 1, 0.94),
            cell("a", "apc", 0, 0.95),
            cell("a", "apc", 1, 0.97),
            cell("b", "patchcore", 0, 0.80),
            cell("b", "apc", 0, 0.90),
        ];
        let text = table(&cells, &["patchcore", "apc"]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("0.9200 ±0.0283") && lines[1].contains("- ±-"), "{text}");
        assert!(lines[5].contains("mean") && lines[5].contains("0.8600") && lines[5].ends_with("x 1.000"), "{text}");
        // (0.04 + 0.10) / 2 against (0.08 + 0.20) / 2
        assert!(lines[6].ends_with("x 0.500"), "{text}");
    }
}
