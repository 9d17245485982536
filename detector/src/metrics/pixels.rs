//! Pixel figures over many score maps.

use super::error::{MetricsError, same_length};
use super::keys::{check, key};
use super::label::Regions;
use super::ranking::{Ranking, Runs};
use rayon::slice::ParallelSliceMut;

/// The limit that MVTec's evaluation and most papers use for AUPRO.
pub const AUPRO_FPR_LIMIT: f64 = 0.3;

/// Collects score maps one at a time, so that a program need not hold all of them.
///
/// Keeps 4 bytes per good pixel and 8 per anomalous one (600 maps of 256 x 256: about 160 MB); ranking needs another 4 per
/// anomalous pixel.
#[derive(Debug, Clone, Default)]
pub struct PixelScores {
    good: Vec<u32>,
    /// Key in the upper half, region in the lower.
    anomalous: Vec<u64>,
    areas: Vec<u32>,
}

/// All pixels, ranked.
#[derive(Debug, Clone)]
pub struct PixelRanking {
    pixels: Ranking,
    /// As in [`PixelScores`], highest first.
    anomalous: Vec<u64>,
    areas: Vec<u32>,
}

impl PixelScores {
    /// Adds one image: its score map, `width` pixels wide, row by row, and its mask of the same shape, `None` for a good
    /// image. Maps may differ in size.
    ///
    /// # Errors
    /// A NaN score, or a map or mask of the wrong length; nothing is added then.
    pub fn add(&mut self, map: &[f32], mask: Option<&[bool]>, width: usize) -> Result<(), MetricsError> {
        same_length("score map", map.len(), map.len().checked_div(width).unwrap_or(0) * width)?;
        check(map)?;
        let Some(mask) = mask else {
            self.good.extend(map.iter().map(|&s| key(s)));
            return Ok(());
        };
        same_length("mask", mask.len(), map.len())?;
        let regions = Regions::of(mask, width)?;
        let first = self.areas.len() as u64;
        if first + regions.areas.len() as u64 > u64::from(u32::MAX) {
            return Err(MetricsError::TooManyRegions);
        }
        for (&s, region) in map.iter().zip(&regions.of_pixel) {
            match region {
                None => self.good.push(key(s)),
                Some(region) => self.anomalous.push(u64::from(key(s)) << 32 | (first + u64::from(*region))),
            }
        }
        self.areas.extend(regions.areas);
        Ok(())
    }

    /// Sorts what was collected.
    pub fn rank(self) -> PixelRanking {
        let Self { good, mut anomalous, areas } = self;
        anomalous.par_sort_unstable_by(|a, b| b.cmp(a));
        let keys = anomalous.iter().map(|&a| (a >> 32) as u32).collect();
        PixelRanking { pixels: Ranking::from_keys(good, keys), anomalous, areas }
    }
}

impl PixelRanking {
    /// The ranking of all pixels: pixel AUROC, best pixel F1.
    pub fn pixels(&self) -> &Ranking {
        &self.pixels
    }

    /// Area under the per-region overlap curve up to a false-positive rate, divided by that rate: in 0..=1.
    ///
    /// At every cut between distinct scores: the overlap is the mean, over all 8-connected regions of all masks, of the share
    /// of the region above it; the false-positive rate is that of all good pixels of all images. The curve
    /// is straight between these points and starts at (0, 0), as in MVTec's evaluation (Bergmann et al., "The MVTec Anomaly
    /// Detection Dataset", IJCV 2021). `None` without any anomalous region or any good pixel.
    ///
    /// # Errors
    /// A limit outside 0 < limit <= 1.
    pub fn aupro(&self, fpr_limit: f64) -> Result<Option<f64>, MetricsError> {
        if !(fpr_limit > 0.0 && fpr_limit <= 1.0) {
            return Err(MetricsError::FprLimit(fpr_limit));
        }
        let good_keys = self.pixels.good_keys();
        if self.areas.is_empty() || good_keys.is_empty() {
            return Ok(None);
        }
        let weights: Vec<f64> = self.areas.iter().map(|&area| 1.0 / (f64::from(area) * self.areas.len() as f64)).collect();
        let mut good = Runs::new(good_keys.iter().copied());
        let mut anomalous = self.anomalous.iter().peekable();
        let (mut area, mut fpr, mut overlap) = (0.0, 0.0, 0.0);
        loop {
            let next = anomalous.peek().map(|&&a| (a >> 32) as u32);
            let Some(threshold) = good.peek().max(next) else {
                break;
            };
            let (fpr_before, overlap_before) = (fpr, overlap);
            fpr = good.take_from(threshold) as f64 / good_keys.len() as f64;
            while let Some(&a) = anomalous.next_if(|&&a| (a >> 32) as u32 >= threshold) {
                overlap += weights[(a & u64::from(u32::MAX)) as usize];
            }
            if fpr > fpr_limit {
                let at_limit = overlap_before + (overlap - overlap_before) * (fpr_limit - fpr_before) / (fpr - fpr_before);
                area += (fpr_limit - fpr_before) * (overlap_before + at_limit) / 2.0;
                break;
            }
            area += (fpr - fpr_before) * (overlap_before + overlap) / 2.0;
        }
        // The sum of many weights may end a few ulp above 1.
        Ok(Some((area / fpr_limit).min(1.0)))
    }
}
