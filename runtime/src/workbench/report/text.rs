//! Numbers in the page.

/// A score with four significant digits.
pub(super) fn number(value: f32) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    match digits {
        -4..=6 => format!("{value:.*}", (3 - digits).max(0) as usize),
        _ => format!("{value:.3e}"),
    }
}

/// A figure in 0..=1 with four digits; a dash where there is none.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
}

/// A share in per cent; a dash where there is none.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", v * 100.0))
}
