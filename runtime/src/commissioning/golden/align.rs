//! How a part lies in a picture, compared with a reference: shift, rotation and scale.
//!
//! Coarse: a picture of at most 64 pixels is compared with the reference at every third degree and every twentieth of scale; phase
//! correlation (Kuglin and Hines, 1975) gives the shift of each. Fine: Gauss-Newton on the squared difference from coarse to fine, with gain
//! and offset as unknowns too (Lucas and Kanade, 1981; Baker and Matthews, IJCV 56, 2004).

use rustfft::algorithm::Radix4;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftDirection};

use super::plane::Plane;

/// Longest side of the picture that is compared as a whole.
const COARSE: usize = 64;
/// A narrower picture has too few slopes to align by.
const NARROW: usize = 4;
/// Side of the transforms: room for any shift of the coarse picture.
const ROOM: usize = 2 * COARSE;
/// Hypotheses that are followed up.
const CANDIDATES: usize = 3;
/// A motion takes the place of "nothing moved" only where it leaves less than this share of what "nothing moved" leaves unexplained: a round
/// part shows no rotation, and noise would choose one.
const GAIN: f64 = 0.8;
const ITERATIONS: usize = 40;
/// Least part of the reference that must be in the picture.
const OVERLAP: f64 = 0.4;

/// Where the reference's part lies in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// How far the centre moved, in pixels of the planes: right, down.
    pub shift: [f64; 2],
    /// Degrees, clockwise as seen in the picture; -180 to 180.
    pub rotation: f64,
    /// 1.02 is a part that looks 2 % larger.
    pub scale: f64,
    /// Correlation of reference and picture once they are aligned, -1 to 1.
    pub correlation: f64,
}

/// A similarity around the centre: `[1 + a, -b; b, 1 + a]`, then the shift.
#[derive(Clone, Copy, Debug)]
struct Motion {
    shift: [f64; 2],
    a: f64,
    b: f64,
}

impl Motion {
    const NONE: Motion = Motion { shift: [0.0; 2], a: 0.0, b: 0.0 };

    fn new(degrees: f64, scale: f64) -> Motion {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Motion { shift: [0.0; 2], a: scale * cos - 1.0, b: scale * sin }
    }

    /// Where a point lies, both from the centre.
    fn map(&self, u: f64, v: f64) -> (f64, f64) {
        ((1.0 + self.a) * u - self.b * v + self.shift[0], self.b * u + (1.0 + self.a) * v + self.shift[1])
    }

    fn scaled(mut self, by: f64) -> Motion {
        self.shift = self.shift.map(|shift| shift * by);
        self
    }
}

/// Finds the reference's part in a picture of the same size; nothing where the two have nothing in common.
pub fn align(reference: &Plane, picture: &Plane) -> Option<Alignment> {
    let mut levels = vec![(reference.smoothed(), picture.smoothed())];
    while let Some((reference, picture)) = levels.last().filter(|(plane, _)| plane.width.max(plane.height) > COARSE) {
        let halved = (reference.halved().smoothed(), picture.halved().smoothed());
        levels.push(halved);
    }
    levels.reverse();
    let (small, small_picture) = levels.first()?;
    if small.width.min(small.height) < NARROW {
        return None;
    }
    let others = coarse(small, small_picture).into_iter().filter_map(|motion| refine(&levels, motion));
    let best = others.max_by(|a, b| a.1.total_cmp(&b.1));
    let (motion, correlation) = match (refine(&levels, Motion::NONE), best) {
        (Some(as_it_was), Some(best)) if 1.0 - best.1 < GAIN * (1.0 - as_it_was.1) => best,
        (as_it_was, best) => as_it_was.or(best)?,
    };
    let (cos, sin) = (1.0 + motion.a, motion.b);
    Some(Alignment { shift: motion.shift, rotation: sin.atan2(cos).to_degrees(), scale: cos.hypot(sin), correlation })
}

/// The likeliest of all hypotheses, upright and upside down.
fn coarse(reference: &Plane, picture: &Plane) -> Vec<Motion> {
    let fourier = Fourier::new();
    let spectrum = fourier.spectrum(picture, &Motion::NONE);
    let mut found = Vec::new();
    for turn in [0.0, 180.0] {
        for degrees in (-15..=15).step_by(3) {
            for scale in -3..=3 {
                let mut motion = Motion::new(turn + f64::from(degrees), 1.0 + 0.05 * f64::from(scale));
                let turned = fourier.spectrum(reference, &motion);
                motion.shift = fourier.peak(&spectrum, &turned);
                if let Some(correlation) = correlation(reference, picture, &motion) {
                    found.push((correlation, motion));
                }
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(CANDIDATES).map(|(_, motion)| motion).collect()
}

struct Fourier {
    /// The one algorithm that a power of two needs: a planner would bring all others into the camera's program, for every instruction set.
    forward: Radix4<f32>,
    inverse: Radix4<f32>,
}

impl Fourier {
    fn new() -> Fourier {
        let [forward, inverse] = [FftDirection::Forward, FftDirection::Inverse].map(|direction| Radix4::new(ROOM, direction));
        Fourier { forward, inverse }
    }

    /// Transform of a plane moved by `motion`, less its mean and faded out towards its edges.
    fn spectrum(&self, plane: &Plane, motion: &Motion) -> Vec<Complex<f32>> {
        let (width, height) = (plane.width, plane.height);
        let mean = plane.values.iter().sum::<f32>() / plane.values.len() as f32;
        let fade = |at: usize, length: usize| {
            let share = (at as f32 + 0.5) / length as f32;
            (std::f32::consts::PI * share).sin().powi(2)
        };
        let (cx, cy) = centre(plane);
        let square = (1.0 + motion.a).powi(2) + motion.b.powi(2);
        let back = Motion { shift: [0.0; 2], a: (1.0 + motion.a) / square - 1.0, b: -motion.b / square };
        let mut grid = vec![Complex::new(0.0, 0.0); ROOM * ROOM];
        for y in 0..height {
            for x in 0..width {
                let (u, v) = back.map(x as f64 - cx, y as f64 - cy);
                let value = plane.between(cx + u, cy + v).map_or(0.0, |value| value as f32 - mean);
                grid[y * ROOM + x].re = value * fade(x, width) * fade(y, height);
            }
        }
        self.forward.process(&mut grid);
        let mut grid = transposed(&grid);
        self.forward.process(&mut grid);
        grid
    }

    /// The shift from `from` to `to` at which their phases agree best.
    fn peak(&self, to: &[Complex<f32>], from: &[Complex<f32>]) -> [f64; 2] {
        let phase = |(to, from): (&Complex<f32>, &Complex<f32>)| {
            let cross = to * from.conj();
            // The largest frequencies are noise: amplitudes below a millionth of a grey value's have no phase.
            cross / (cross.norm() + 1e-6)
        };
        let mut grid: Vec<_> = to.iter().zip(from).map(phase).collect();
        self.inverse.process(&mut grid);
        let mut grid = transposed(&grid);
        self.inverse.process(&mut grid);
        let peak = grid.iter().enumerate().max_by(|a, b| a.1.re.total_cmp(&b.1.re)).map_or(0, |(index, _)| index);
        let signed = |at: usize| if at > ROOM / 2 { at as f64 - ROOM as f64 } else { at as f64 };
        [signed(peak % ROOM), signed(peak / ROOM)]
    }
}

fn transposed(grid: &[Complex<f32>]) -> Vec<Complex<f32>> {
    (0..grid.len()).map(|i| grid[i % ROOM * ROOM + i / ROOM]).collect()
}

fn centre(plane: &Plane) -> (f64, f64) {
    ((plane.width as f64 - 1.0) / 2.0, (plane.height as f64 - 1.0) / 2.0)
}

/// Correlation of the reference and the picture behind it; nothing where they overlap too little.
fn correlation(reference: &Plane, picture: &Plane, motion: &Motion) -> Option<f64> {
    let (cx, cy) = centre(reference);
    let (mut count, mut r, mut p, mut rr, mut pp, mut rp) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for y in 0..reference.height {
        for x in 0..reference.width {
            let (u, v) = motion.map(x as f64 - cx, y as f64 - cy);
            let Some(there) = picture.between(cx + u, cy + v) else { continue };
            let here = f64::from(reference.at(x, y));
            count += 1.0;
            (r, p, rr, pp, rp) = (r + here, p + there, rr + here * here, pp + there * there, rp + here * there);
        }
    }
    let (vr, vp) = (rr - r * r / count, pp - p * p / count);
    let enough = count >= OVERLAP * reference.values.len() as f64 && vr > 0.0 && vp > 0.0;
    enough.then(|| (rp - r * p / count) / (vr * vp).sqrt())
}

/// Follows a hypothesis from the smallest level, for whose pixels it is given, to the largest.
fn refine(levels: &[(Plane, Plane)], mut motion: Motion) -> Option<(Motion, f64)> {
    for (level, (reference, picture)) in levels.iter().enumerate() {
        if level > 0 {
            motion = motion.scaled(2.0);
        }
        motion = descend(reference, picture, motion)?;
    }
    let (reference, picture) = levels.last()?;
    correlation(reference, picture, &motion).map(|correlation| (motion, correlation))
}

/// Shift, rotation and scale, gain, offset.
const UNKNOWNS: usize = 6;

/// Gauss-Newton for `picture(motion(x)) = gain * reference(x) + offset`.
fn descend(reference: &Plane, picture: &Plane, mut motion: Motion) -> Option<Motion> {
    let (cx, cy) = centre(reference);
    let reach = cx.hypot(cy);
    let (mut gain, mut offset) = (1.0, 0.0);
    for _ in 0..ITERATIONS {
        let mut normal = [[0.0; UNKNOWNS + 1]; UNKNOWNS];
        let mut count = 0;
        let square = (1.0 + motion.a).powi(2) + motion.b.powi(2);
        let (cos, sin) = (gain * (1.0 + motion.a) / square, gain * motion.b / square);
        for y in 1..reference.height - 1 {
            for x in 1..reference.width - 1 {
                let (u, v) = (x as f64 - cx, y as f64 - cy);
                let (mu, mv) = motion.map(u, v);
                let Some(there) = picture.between(cx + mu, cy + mv) else { continue };
                count += 1;
                let slope = |a: f32, b: f32| f64::from(b - a) / 2.0;
                let (gx, gy) = (
                    slope(reference.at(x - 1, y), reference.at(x + 1, y)),
                    slope(reference.at(x, y - 1), reference.at(x, y + 1)),
                );
                // The picture's slope is the reference's, turned and stretched as the part is.
                let (px, py) = (cos * gx - sin * gy, sin * gx + cos * gy);
                let here = f64::from(reference.at(x, y));
                let row = [px, py, (px * u + py * v) / reach, (py * u - px * v) / reach, -here, -1.0];
                let rest = there - gain * here - offset;
                for i in 0..UNKNOWNS {
                    for j in 0..UNKNOWNS {
                        normal[i][j] += row[i] * row[j];
                    }
                    normal[i][UNKNOWNS] -= row[i] * rest;
                }
            }
        }
        if f64::from(count) < OVERLAP * reference.values.len() as f64 {
            return None;
        }
        let [dx, dy, da, db, dgain, doffset] = solve(normal)?;
        motion =
            Motion { shift: [motion.shift[0] + dx, motion.shift[1] + dy], a: motion.a + da / reach, b: motion.b + db / reach };
        (gain, offset) = (gain + dgain, offset + doffset);
        if [dx, dy, da, db].iter().all(|step| step.abs() < 1e-3) {
            break;
        }
    }
    Some(motion)
}

/// Gaussian elimination with pivots; nothing where an unknown leaves no trace.
fn solve(mut rows: [[f64; UNKNOWNS + 1]; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    // A hair of the diagonal: an unknown that hardly shows does not run away.
    rows.iter_mut().enumerate().for_each(|(i, row)| row[i] *= 1.0 + 1e-9);
    for column in 0..UNKNOWNS {
        let pivot = (column..UNKNOWNS).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].abs() < 1e-9 {
            return None;
        }
        for row in rows.iter_mut().skip(column + 1) {
            let factor = row[column] / lead[column];
            row.iter_mut().zip(lead).skip(column).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut found = [0.0; UNKNOWNS];
    for i in (0..UNKNOWNS).rev() {
        let known: f64 = (i + 1..UNKNOWNS).map(|j| rows[i][j] * found[j]).sum();
        found[i] = (rows[i][UNKNOWNS] - known) / rows[i][i];
    }
    found.iter().all(|value| value.is_finite()).then_some(found)
}
