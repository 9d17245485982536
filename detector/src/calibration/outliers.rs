//! Good images whose scores lie far out: they may be defects, or taken in another light.

use super::calibrate;

/// Scores far above the others.
#[derive(Clone, Debug, PartialEq)]
pub struct FarOut {
    /// Their places, the highest score first.
    pub places: Vec<usize>,
    /// The threshold without them.
    pub threshold: f32,
}

impl FarOut {
    /// The scores above the upper outer fence, three times the distance of the quartiles above the upper one (Tukey, "Exploratory Data
    /// Analysis", 1977), and what the threshold of this rate would be without them. Of normally distributed scores, one in 850,000 lies
    /// there. None where no score does.
    pub fn of(scores: &[f32], rate: f64) -> Option<FarOut> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f32::total_cmp);
        let quartile = |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
        let (lower, upper) = (quartile(0.25)?, quartile(0.75)?);
        let fence = upper + 3.0 * (upper - lower);
        let (far, near): (Vec<_>, Vec<_>) = scores.iter().copied().enumerate().partition(|(_, score)| *score > fence);
        if far.is_empty() {
            return None;
        }
        let threshold = calibrate(&near.into_iter().map(|(_, score)| score).collect::<Vec<_>>(), rate).ok()?.threshold;
        let mut places: Vec<usize> = far.into_iter().map(|(place, _)| place).collect();
        places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        Some(FarOut { places, threshold })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scores_beyond_the_fence_are_far_out() {
        let mut scores: Vec<f32> = (0..40).map(|i| 2.0 + i as f32 / 40.0).collect();
        assert_eq!(FarOut::of(&scores, 0.1), None);
        scores[7] = 4.6;
        scores[30] = 7.5;
        let far = FarOut::of(&scores, 0.1).unwrap();
        assert_eq!(far.places, [30, 7]);
        assert!((2.8..3.0).contains(&far.threshold), "{far:?}");
        assert!(FarOut::of(&[], 0.1).is_none() && FarOut::of(&[1.0; 9], 0.1).is_none());
    }
}
