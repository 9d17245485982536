//! Connected regions of a mask.

use super::error::{MetricsError, same_length};

/// The 8-connected regions of a mask, numbered 0.. in row order of their first pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// Region of each pixel, row by row; `None` outside.
    pub of_pixel: Vec<Option<u32>>,
    /// Pixels in each region.
    pub areas: Vec<u32>,
}

impl Regions {
    /// Labels `mask`, `width` pixels wide, row by row.
    ///
    /// # Errors
    /// `mask` does not consist of whole rows, or has more pixels than fit 32 bits.
    pub fn of(mask: &[bool], width: usize) -> Result<Self, MetricsError> {
        same_length("mask", mask.len(), mask.len().checked_div(width).unwrap_or(0) * width)?;
        if u32::try_from(mask.len()).is_err() {
            return Err(MetricsError::TooManyRegions);
        }
        // Union-find over pixels in which the smallest index of a region is its root.
        let mut parent: Vec<u32> = (0..mask.len() as u32).collect();
        for (i, _) in mask.iter().enumerate().filter(|&(_, &inside)| inside) {
            let (x, y) = (i % width, i / width);
            let west = (x > 0).then(|| i - 1);
            let north = (y > 0).then(|| i - width);
            let north_west = (x > 0 && y > 0).then(|| i - width - 1);
            let north_east = (x + 1 < width && y > 0).then(|| i - width + 1);
            for neighbour in [west, north, north_west, north_east].into_iter().flatten() {
                if mask[neighbour] {
                    let (a, b) = (root(&mut parent, i as u32), root(&mut parent, neighbour as u32));
                    parent[a.max(b) as usize] = a.min(b);
                }
            }
        }
        let mut regions = Self { of_pixel: vec![None; mask.len()], areas: Vec::new() };
        for (i, _) in mask.iter().enumerate().filter(|&(_, &inside)| inside) {
            // A root comes before the other pixels of its region.
            let first = root(&mut parent, i as u32) as usize;
            let region = regions.of_pixel[first].unwrap_or_else(|| {
                regions.areas.push(0);
                regions.areas.len() as u32 - 1
            });
            regions.of_pixel[i] = Some(region);
            regions.areas[region as usize] += 1;
        }
        Ok(regions)
    }
}

fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        parent[i as usize] = parent[parent[i as usize] as usize];
        i = parent[i as usize];
    }
    i
}
