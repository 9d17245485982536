//! How far values of many images lie apart.

use detector::scorer::Terms;

/// The largest of the values of the patches that show the picture.
pub fn largest(terms: &Terms, values: &[f32]) -> f32 {
    terms.inside.indices().filter_map(|patch| values.get(patch)).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The value that a share of the values does not exceed, interpolated; 0 without values.
pub fn quantile(values: &[f32], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = share * sorted.len().saturating_sub(1) as f64;
    let value = |place: usize| sorted.get(place).map_or(0.0, |value| f64::from(*value));
    value(at.floor() as usize) + (value(at.ceil() as usize) - value(at.floor() as usize)) * at.fract()
}

/// The interquartile range: single odd images do not change it. Never nothing, so that it can be divided by.
pub fn spread(values: &[f32]) -> f64 {
    let least = 0.01 * quantile(values, 0.5).abs() + 1e-6;
    (quantile(values, 0.75) - quantile(values, 0.25)).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_and_a_spread_is_never_nothing() {
        let values = [4.0, 0.0, 3.0, 1.0, 2.0];
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.9), spread(&values)), (2.0, 3.6, 2.0));
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.9)), (0.0, 7.0));
        assert!((spread(&[2.0; 9]) - 0.020001).abs() < 1e-9 && spread(&[]) > 0.0);
    }
}
