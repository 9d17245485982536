//! The tables of `bench learning`, in Markdown: as they stand in docs/learning.md.

use std::collections::BTreeMap;

use super::cells::Cell;
use super::draw::LABELS_ONLY;
use super::paired::{Difference, FIGURES, MARGIN};
use crate::figures::show;

/// A figure's name, its value and its digits.
type Column = (&'static str, fn(&Cell) -> Option<f64>, usize);

const COLUMNS: [Column; 10] = [
    ("AUROC image", |cell| cell.image_auroc, 4),
    ("F1 image", |cell| cell.image_f1, 4),
    ("AUROC pixel", |cell| cell.pixel_auroc, 4),
    ("F1 pixel", |cell| cell.pixel_f1, 4),
    ("AUPRO", |cell| cell.aupro, 4),
    ("missed", |cell| cell.miss_rate, 4),
    ("false rejects", |cell| cell.false_reject_rate, 4),
    ("missed at 1 %", |cell| cell.missed_at[0], 4),
    ("missed at 5 %", |cell| cell.missed_at[1], 4),
    ("training s", |cell| Some(cell.train_seconds), 0),
];

/// The cells of one product, draw and system, over the seeds.
pub(super) struct Row {
    pub product: String,
    pub draw: String,
    pub system: String,
    pub cells: Vec<Cell>,
}

/// Mean and spread over the seeds of every row, then the mean over products with the image-level error relative to the first system's
/// (`reference`) of the same draw.
pub(super) fn table(rows: &[Row], reference: &str) -> String {
    let names = COLUMNS.map(|(name, ..)| name).join(" | ");
    let mut text = format!("| product | learned from | system | {names} | error |\n|{}\n", "---|".repeat(COLUMNS.len() + 4));
    let mut means: BTreeMap<(&str, &str), Vec<[Option<f64>; COLUMNS.len()]>> = BTreeMap::new();
    for Row { product, draw, system, cells } in rows {
        text += &format!("| {product} | {draw} | {system} |");
        let figures = COLUMNS.map(|(_, value, digits)| {
            let values: Vec<f64> = cells.iter().filter_map(value).collect();
            let (mean, spread) = mean_and_spread(&values);
            text += &match spread {
                Some(_) => format!(" {} ± {} |", show(mean, digits), show(spread, digits)),
                None => format!(" {} |", show(mean, digits)),
            };
            mean
        });
        text += " |\n";
        means.entry((draw, system)).or_default().push(figures);
    }
    let error = |draw: &str, system: &str| {
        let rows = means.get(&(draw, system))?;
        let errors: Option<Vec<f64>> = rows.iter().map(|row| Some(1.0 - row[0]?)).collect();
        errors.map(|errors| errors.iter().sum::<f64>() / errors.len() as f64)
    };
    let mut shown = Vec::new();
    for Row { draw, system, .. } in rows {
        let key = (draw.as_str(), system.as_str());
        let products = &means[&key];
        if shown.contains(&key) {
            continue;
        }
        shown.push(key);
        text += &format!("| mean of {} | {draw} | {system} |", products.len());
        for (column, (.., digits)) in COLUMNS.iter().enumerate() {
            let values: Vec<f64> = products.iter().filter_map(|row| row[column]).collect();
            text += &format!(" {} |", show(mean_and_spread(&values).0, *digits));
        }
        // Means over other products or of another draw cannot be compared.
        let of = draw.trim_end_matches(LABELS_ONLY);
        let comparable = means.get(&(of, reference)).is_some_and(|of| of.len() == products.len());
        let relative = error(draw, system).zip(error(of, reference)).map(|(error, of)| error / of);
        text += &format!(" x {} |\n", show(relative.filter(|relative| comparable && relative.is_finite()), 3));
    }
    text
}

/// A system's differences from the reference on one product and draw.
pub(super) struct Compared {
    pub product: String,
    pub draw: String,
    pub system: String,
    pub differences: [Option<Difference>; 4],
}

/// Differences from the reference, their intervals, and whether a figure is lower by more than the margin.
pub(super) fn differences(compared: &[Compared], reference: &str) -> String {
    let mut text = format!(
        "Difference from {reference}, 95 % interval (paired bootstrap over images, 1000 draws), and whether it is below by more than \
         {MARGIN}:\n\n| product | learned from | system | {} |\n|{}\n",
        FIGURES.join(" | "),
        "---|".repeat(FIGURES.len() + 3)
    );
    for Compared { product, draw, system, differences } in compared {
        text += &format!("| {product} | {draw} | {system} |");
        for difference in differences {
            text += &difference.map_or(" - |".into(), |it| {
                format!(" {:+.4} [{:+.4}, {:+.4}] {} |", it.mean, it.interval.0, it.interval.1, it.conclusion())
            });
        }
        text += "\n";
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
    use super::super::cells::tests::cell;
    use super::*;

    #[test]
    fn the_table_has_means_spreads_and_the_relative_error() {
        let row = |product: &str, system: &str, aurocs: &[f64]| Row {
            product: product.into(),
            draw: "random 10".into(),
            system: system.into(),
            cells: aurocs.iter().zip(0..).map(|(auroc, seed)| cell(product, system, seed, *auroc)).collect(),
        };
        let mut rows = vec![
            row("a", "patchcore", &[0.90, 0.94]),
            row("a", "apc", &[0.95, 0.97]),
            row("b", "patchcore", &[0.80]),
            row("b", "apc", &[0.90]),
        ];
        let text = table(&rows, "patchcore");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("| 0.9200 ± 0.0283 |") && lines[2].contains("| - |"), "{text}");
        assert!(
            lines[6].starts_with("| mean of 2 |") && lines[6].contains("0.8600") && lines[6].ends_with("x 1.000 |"),
            "{text}"
        );
        // (0.04 + 0.10) / 2 against (0.08 + 0.20) / 2
        assert!(lines[7].ends_with("x 0.500 |"), "{text}");
        rows.remove(3);
        assert!(table(&rows, "patchcore").lines().last().unwrap().ends_with("x - |"), "over one product only");
    }

    #[test]
    fn differences_show_their_conclusions() {
        let difference = |mean, low, high| Some(Difference { mean, interval: (low, high) });
        let differences_of =
            [difference(0.02, 0.01, 0.03), difference(-0.002, -0.004, 0.001), None, difference(-0.1, -0.2, -0.05)];
        let compared =
            Compared { product: "a".into(), draw: "hard 10".into(), system: "apc".into(), differences: differences_of };
        let text = differences(&[compared], "patchcore");
        let last = "| a | hard 10 | apc | +0.0200 [+0.0100, +0.0300] not below | -0.0020 [-0.0040, +0.0010] open | - | \
                    -0.1000 [-0.2000, -0.0500] below |";
        assert_eq!(text.lines().last(), Some(last));
    }
}
