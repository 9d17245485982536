//! The pixels of an evaluation, ranked by their scores.

use super::result::ImageResult;
use crate::map::ScoreMap;
use crate::metrics::{MetricsError, PixelRanking, PixelScores};

/// All pixels of good images and of those with a mask; none where no anomalous image has one.
pub(super) fn rank_pixels(images: &[ImageResult]) -> std::result::Result<Option<PixelRanking>, MetricsError> {
    if !images.iter().any(|image| image.sample.is_anomalous() && image.mask.is_some()) {
        return Ok(None);
    }
    let mut pixels = PixelScores::default();
    for image in images {
        if let Some(mask) = &image.mask {
            let map = image.scored.map();
            let width = map.content.width as usize;
            pixels.add(&cut(&map, &map.values), Some(&cut(&map, mask)), width)?;
        }
    }
    Ok(Some(pixels.rank()))
}

/// The part of a map-sized array where the picture lies.
pub(super) fn cut<T: Copy>(map: &ScoreMap, values: &[T]) -> Vec<T> {
    let content = map.content;
    let rows = (content.y as usize)..(content.y + content.height) as usize;
    rows.flat_map(|y| {
        let start = y * map.width + content.x as usize;
        values[start..start + content.width as usize].iter().copied()
    })
    .collect()
}
