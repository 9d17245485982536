//! Good images whose scores lie far out: they may be defects, or taken in another light.

/// Places of the scores above the upper outer fence, three times the distance of the quartiles above the upper one (Tukey, "Exploratory Data
/// Analysis", 1977), the highest score first. Of normally distributed scores, one in 850,000 lies there.
pub fn far_out(scores: &[f32]) -> Vec<usize> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let quartile = |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
    let (Some(lower), Some(upper)) = (quartile(0.25), quartile(0.75)) else { return Vec::new() };
    let fence = upper + 3.0 * (upper - lower);
    let mut places: Vec<usize> = (0..scores.len()).filter(|place| scores[*place] > fence).collect();
    places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scores_beyond_the_fence_are_far_out() {
        let mut scores: Vec<f32> = (0..40).map(|i| 2.0 + i as f32 / 40.0).collect();
        assert!(far_out(&scores).is_empty());
        scores[7] = 4.6;
        scores[30] = 7.5;
        assert_eq!(far_out(&scores), [30, 7]);
        assert!(far_out(&[]).is_empty() && far_out(&[1.0; 9]).is_empty());
    }
}
