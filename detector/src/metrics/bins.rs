//! Scores counted in bins: small enough to keep for each image, so that figures over any choice of images can be computed later.

use super::keys::score;
use super::ranking::Ranking;

/// Bins between quantiles of good and of anomalous scores, so that both classes are resolved where their scores lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// Ascending; bin `i` holds the scores above edge `i - 1`, up to and with edge `i`.
    edges: Vec<f32>,
}

impl Bins {
    /// At most `each` edges from either class of `ranking`, and one bin above them all.
    pub fn between_quantiles(ranking: &Ranking, each: usize) -> Bins {
        let quantiles = |keys: &[u32]| -> Vec<u32> {
            (0..each.min(keys.len())).map(|i| keys[i * keys.len() / each.min(keys.len())]).collect()
        };
        let mut keys = quantiles(ranking.good_keys());
        keys.extend(quantiles(ranking.anomalous_keys()));
        keys.sort_unstable();
        keys.dedup();
        Bins { edges: keys.into_iter().map(score).collect() }
    }

    /// How many of the scores lie in each bin, lowest first. Empty bins at the end are left out.
    pub fn count(&self, scores: impl IntoIterator<Item = f32>) -> Vec<u32> {
        let mut counts = vec![0; self.edges.len() + 1];
        for score in scores {
            counts[self.edges.partition_point(|edge| *edge < score)] += 1;
        }
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        counts
    }
}
