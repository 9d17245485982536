use image::RgbImage;

/// Brightness of a picture, in rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 0 to 255.
    pub values: Vec<f32>,
}

impl Plane {
    /// Mean of the three channels, averaged over squares of `by` pixels; pixels left over at the right and below are dropped.
    pub fn of(picture: &RgbImage, by: usize) -> Plane {
        let by = by.max(1);
        let (width, height) = (picture.width() as usize / by, picture.height() as usize / by);
        let stride = 3 * picture.width() as usize;
        let bytes = picture.as_raw();
        let area = (3 * by * by) as f32;
        let square = |i: usize| {
            let (x, y) = (i % width * by, i / width * by);
            let rows = (y..y + by).map(|y| &bytes[y * stride + 3 * x..][..3 * by]);
            rows.flatten().map(|byte| u32::from(*byte)).sum::<u32>() as f32 / area
        };
        Plane { width, height, values: (0..width * height).map(square).collect() }
    }

    /// At half the size.
    pub fn halved(&self) -> Plane {
        let (width, height) = (self.width / 2, self.height / 2);
        let value = |i: usize| {
            let (x, y) = (2 * (i % width), 2 * (i / width));
            (self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1)) / 4.0
        };
        Plane { width, height, values: (0..width * height).map(value).collect() }
    }

    /// Weighted by 1, 2, 1 in both directions: less noise, the same edges.
    pub fn smoothed(&self) -> Plane {
        let (right, below) = (self.width.saturating_sub(1), self.height.saturating_sub(1));
        let value = |i: usize| {
            let (x, y) = (i % self.width, i / self.width);
            let row = |y: usize| self.at(x.saturating_sub(1), y) + 2.0 * self.at(x, y) + self.at((x + 1).min(right), y);
            (row(y.saturating_sub(1)) + 2.0 * row(y) + row((y + 1).min(below))) / 16.0
        };
        Plane { width: self.width, height: self.height, values: (0..self.values.len()).map(value).collect() }
    }

    /// The value of a pixel.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.values[y * self.width + x]
    }

    /// The value between pixels, bilinear; nothing outside.
    pub fn between(&self, x: f64, y: f64) -> Option<f64> {
        let inside = |at: f64, length: usize| at >= 0.0 && at < length.saturating_sub(1) as f64;
        if !inside(x, self.width) || !inside(y, self.height) {
            return None;
        }
        let (column, row) = (x as usize, y as usize);
        let (right, below) = (x - column as f64, y - row as f64);
        let mix = |a: f32, b: f32, share: f64| f64::from(a) + f64::from(b - a) * share;
        let upper = mix(self.at(column, row), self.at(column + 1, row), right);
        let lower = mix(self.at(column, row + 1), self.at(column + 1, row + 1), right);
        Some(upper + (lower - upper) * below)
    }

    /// How sharp: the mean square of the Laplacian over the variance, which neither gain nor offset of the camera changes (Pertuz et al.,
    /// Pattern Recognition 46, 2013, measure LAP4, normalised). 0 where nothing is to be seen.
    pub fn sharpness(&self) -> f64 {
        let plane = self.smoothed();
        let count = plane.values.len().max(1) as f64;
        let mean = plane.values.iter().copied().map(f64::from).sum::<f64>() / count;
        let variance = plane.values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        let (mut sum, mut inner) = (0.0, 0.0);
        for y in 1..plane.height.saturating_sub(1) {
            for x in 1..plane.width.saturating_sub(1) {
                let around = plane.at(x - 1, y) + plane.at(x + 1, y) + plane.at(x, y - 1) + plane.at(x, y + 1);
                sum += f64::from(around - 4.0 * plane.at(x, y)).powi(2);
                inner += 1.0;
            }
        }
        if variance > 0.0 && inner > 0.0 { sum / inner / variance } else { 0.0 }
    }
}
