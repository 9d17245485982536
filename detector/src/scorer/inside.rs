//! Which patches show the picture.

use crate::preprocess::Rect;

/// Patches whose centre lies in the picture, as opposed to a letterbox's padding: a rectangle of the grid.
#[derive(Clone, Debug)]
pub struct Inside {
    grid: (usize, usize),
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Inside {
    /// For a patch grid and an input, both (height, width), and where the picture lies in the input.
    pub fn new(grid: (usize, usize), input: (usize, usize), content: Rect) -> Inside {
        let axis = |patches: usize, pixels: usize, start: u32, length: u32| {
            let centre = |i: usize| (i as f64 + 0.5) * pixels as f64 / patches as f64;
            let (start, end) = (f64::from(start), f64::from(start) + f64::from(length));
            let first = (0..patches).find(|i| centre(*i) >= start).unwrap_or(0);
            let last = (0..patches).rev().find(|i| centre(*i) < end).unwrap_or(patches - 1);
            // A sliver of a picture between two centres still has one patch.
            if first <= last { first..last + 1 } else { last..last + 1 }
        };
        Inside {
            grid,
            rows: axis(grid.0, input.0, content.y, content.height),
            columns: axis(grid.1, input.1, content.x, content.width),
        }
    }

    /// Indices of the patches inside, row by row.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().flat_map(move |y| self.columns.clone().map(move |x| y * self.grid.1 + x))
    }

    /// Means of the distances over squares that reach `radius` patches in every direction, as far as they lie inside. Distances outside
    /// stay as they are.
    pub fn means(&self, distances: &[f32], radius: usize) -> Vec<f32> {
        let around = |at: usize, bounds: &std::ops::Range<usize>| {
            at.saturating_sub(radius).max(bounds.start)..(at + radius + 1).min(bounds.end)
        };
        let mut means = distances.to_vec();
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let (rows, columns) = (around(y, &self.rows), around(x, &self.columns));
                let count = rows.len() * columns.len();
                let row =
                    |y: usize| distances[y * self.grid.1 + columns.start..y * self.grid.1 + columns.end].iter().sum::<f32>();
                means[y * self.grid.1 + x] = rows.map(row).sum::<f32>() / count as f32;
            }
        }
        means
    }

    /// Scores outside become those of their nearest neighbour inside, so that smoothing does not lower the scores at the picture's edge.
    pub(super) fn extend(&self, distances: &mut [f32]) {
        for y in 0..self.grid.0 {
            let row = y.clamp(self.rows.start, self.rows.end - 1);
            for x in 0..self.grid.1 {
                let column = x.clamp(self.columns.start, self.columns.end - 1);
                distances[y * self.grid.1 + x] = distances[row * self.grid.1 + column];
            }
        }
    }
}
