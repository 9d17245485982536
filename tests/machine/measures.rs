//! What is said of many parts together. Pure.

use anyhow::{Result, ensure};

/// Parts that were good, anomalous, unknown and lost, in words.
pub fn count(parts: [usize; 4]) -> String {
    let [good, anomalous, unknown, lost] = parts;
    format!("{} parts: {good} good, {anomalous} anomalous, {unknown} unknown, {lost} lost", parts.iter().sum::<usize>())
}

/// How late pulses were (seconds); at least this share of them must have come within so many milliseconds.
pub fn timing(late: &[f64], within_ms: f64, share: f64) -> Result<String> {
    ensure!(!late.is_empty(), "no pulse is accounted for");
    let late: Vec<f64> = late.iter().map(|late| late * 1e3).collect();
    let in_time = late.iter().filter(|late| **late <= within_ms).count() as f64 / late.len() as f64;
    let text = format!(
        "{} pulses, late by {:.2} ms (median), {:.2} (p99), {:.2} (p99.9), {:.2} (most); {:.2} % within {within_ms} ms",
        late.len(),
        quantile(&late, 0.5),
        quantile(&late, 0.99),
        quantile(&late, 0.999),
        quantile(&late, 1.0),
        in_time * 100.0
    );
    ensure!(in_time >= share, "{text}");
    Ok(text)
}

/// How much slower the second half of these verdicts (milliseconds after the trigger) is than the first, at the 99th percentile.
pub fn drift(latencies: &[f64], p99_percent: f64) -> Result<String> {
    let (first, second) = latencies.split_at(latencies.len() / 2);
    ensure!(!first.is_empty(), "no verdict is accounted for");
    let (before, after) = (quantile(first, 0.99), quantile(second, 0.99));
    let drift = (after / before - 1.0) * 100.0;
    let text = format!("p99 of the latency {before:.1} ms in the first half, {after:.1} in the second, {drift:+.1} %");
    ensure!(drift <= p99_percent, "{text}");
    Ok(text)
}

/// Resident memory (bytes) and open descriptors, before and now.
pub fn growth(before: (u64, usize), now: (u64, usize), memory_percent: f64, descriptors: usize) -> Result<String> {
    let grown = (now.0 as f64 / before.0 as f64 - 1.0) * 100.0;
    let text = format!("memory {:.1} MB, {grown:+.2} %; descriptors {} to {}", now.0 as f64 / 1e6, before.1, now.1);
    ensure!(grown <= memory_percent && now.1 <= before.1 + descriptors, "{text}");
    Ok(text)
}

/// The value below which this share of them lies; there must be one.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_pulses_are_told() {
        let late = [0.001, 0.002, 0.009, 0.004];
        assert!(timing(&late, 5.0, 0.75).unwrap().contains("9.00 (most); 75.00 % within 5 ms"));
        assert!(timing(&late, 5.0, 0.76).is_err() && timing(&[], 5.0, 0.0).is_err());
    }

    #[test]
    fn what_becomes_slower_or_grows_is_told() {
        assert!(drift(&[10.0, 10.0, 10.5, 10.5], 10.0).unwrap().contains("+5.0 %"));
        assert!(drift(&[10.0, 10.0, 12.0, 12.0], 10.0).is_err() && drift(&[], 10.0).is_err());
        assert!(growth((100, 7), (101, 7), 2.0, 0).is_ok());
        assert!(growth((100, 7), (103, 7), 2.0, 0).is_err() && growth((100, 7), (100, 8), 2.0, 0).is_err());
    }
}
