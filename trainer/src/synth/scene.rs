//! Camera, lamps and belt: from a part to a picture.

use super::defect::{Defect, DefectKind};
use super::math::*;
use super::part::Part;
use super::surface::Surface;
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::Rng;

/// A smaller change, as a share of the displayed range, is lost in the noise and not part of a mask.
pub const VISIBLE: f64 = 5.0 / 255.0;

/// Everything about one picture except the defect.
#[derive(Debug, Clone)]
pub struct Scene {
    part: Part,
    /// Centre of the part, in picture widths from the middle.
    shift: V2,
    /// Outer radius of the part, in picture widths.
    radius: f64,
    turn: (f64, f64),
    lamps: [Lamp; 2],
    ambient: f64,
    exposure: f64,
    /// Brightness at one side against the other.
    gradient: V2,
    tint: V3,
    /// Weight of each neighbour in the blur.
    defocus: f64,
    noise: f64,
    belt: V2,
    seed: u32,
}

#[derive(Debug, Clone)]
struct Lamp {
    /// Towards the lamp, in the frame of the picture.
    direction: V3,
    strength: f64,
}

impl Lamp {
    /// A lamp about in this direction (turns; elevation above the belt), of about this strength.
    fn near(azimuth: f64, elevation: f64, strength: f64, uniform: &mut impl FnMut(f64, f64) -> f64) -> Self {
        let (sin, cos) = sin_cos(azimuth + uniform(-0.055, 0.055));
        let (up, flat) = sin_cos(elevation + uniform(-0.018, 0.018));
        Self { direction: [cos * flat, sin * flat, up], strength: strength * uniform(0.82, 1.18) }
    }
}

/// A picture without sensor noise, row by row.
pub(super) type Plane = Vec<V3>;

impl Scene {
    pub fn draw(rng: &mut impl Rng) -> Self {
        let part = Part::draw(rng);
        let mut uniform = |a: f64, b: f64| rng.random_range(a..b);
        let lamps = [Lamp::near(0.62, 0.155, 1.0, &mut uniform), Lamp::near(0.06, 0.14, 0.35, &mut uniform)];
        Self {
            part,
            lamps,
            shift: [uniform(-0.035, 0.035), uniform(-0.035, 0.035)],
            radius: uniform(0.42, 0.44),
            turn: sin_cos(uniform(-0.033, 0.033)),
            ambient: uniform(0.20, 0.28),
            exposure: uniform(0.88, 1.12),
            gradient: [uniform(-0.13, 0.13), uniform(-0.13, 0.13)],
            tint: [1.0 + uniform(-0.02, 0.02), 1.0, 1.0 + uniform(-0.03, 0.03)],
            defocus: uniform(0.05, 0.16),
            noise: uniform(0.006, 0.011),
            belt: [uniform(0.0, 1000.0), uniform(0.0, 1000.0)],
            seed: rng.random(),
        }
    }

    /// The good part, `size` x `size` pixels.
    pub fn good(&self, size: u32) -> RgbImage {
        self.expose(self.develop(self.light(size), size), size)
    }

    /// The part with a defect of `kind`, and the mask (0 or 255) of the pixels in which that is visible.
    pub fn anomalous(&self, size: u32, kind: DefectKind, rng: &mut impl Rng) -> (RgbImage, GrayImage) {
        let light = self.light(size);
        let clean = self.develop(light.clone(), size);
        // A defect with fewer visible pixels may lie behind a hole or in a dark corner: draw another one.
        let smallest = (size * size) as usize / 1600;
        loop {
            let mut plane = light.clone();
            self.add_defect(&mut plane, size, &Defect::draw(kind, rng));
            let plane = self.develop(plane, size);
            let mask = difference(&clean, &plane, size);
            if mask.pixels().filter(|p| p.0[0] > 0).count() >= smallest {
                return (self.expose(plane, size), mask);
            }
        }
    }

    /// Linear light of the good part.
    pub(super) fn light(&self, size: u32) -> Plane {
        let pixel = |i| self.pixel(i % size, i / size, size, None);
        (0..size * size).map(pixel).collect()
    }

    /// Renders anew the pixels that a defect may change.
    pub(super) fn add_defect(&self, plane: &mut Plane, size: u32, defect: &Defect) {
        let (centre, reach) = defect.bounds();
        let reach = reach + 1.0 / (self.radius * f64::from(size));
        for (i, value) in (0..size * size).zip(plane.iter_mut()) {
            let (x, y) = (i % size, i / size);
            let middle = [f64::from(x) + 0.5, f64::from(y) + 0.5].map(|v| v / f64::from(size) - 0.5);
            if length2(sub2(self.on_part(middle), centre)) <= reach {
                *value = self.pixel(x, y, size, Some(defect));
            }
        }
    }

    /// Mean linear light of 2 x 2 samples in a pixel.
    pub(super) fn pixel(&self, x: u32, y: u32, size: u32, defect: Option<&Defect>) -> V3 {
        let at = |v: u32, offset: f64| (f64::from(v) + offset) / f64::from(size) - 0.5;
        let mut sum = [0.0; 3];
        for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
            let light = self.colour([at(x, dx), at(y, dy)], defect);
            sum = std::array::from_fn(|i| sum[i] + light[i]);
        }
        scale3(sum, 0.25)
    }

    /// The lens and the response of the sensor: linear light to displayed values.
    pub(super) fn develop(&self, mut plane: Plane, size: u32) -> Plane {
        // Variances add, so the number of passes grows with the square of the size.
        for _ in 0..(f64::from(size * size) / 65536.0).round().max(1.0) as u32 {
            blur(&mut plane, size as usize, self.defocus);
        }
        plane.iter_mut().for_each(|c| *c = c.map(display));
        plane
    }

    /// From picture widths around the middle to radii around the part's axis.
    fn on_part(&self, q: V2) -> V2 {
        scale2(rotate2(sub2(q, self.shift), (-self.turn.0, self.turn.1)), 1.0 / self.radius)
    }

    /// Linear light from the point `q` of the picture, in picture widths from its middle.
    fn colour(&self, q: V2, defect: Option<&Defect>) -> V3 {
        let light = match self.part.surface(self.on_part(q), defect) {
            Some(surface) => self.metal(&surface),
            None => self.belt(q),
        };
        let uneven = 1.0 + 2.0 * dot2(self.gradient, q) - 0.35 * dot2(q, q);
        std::array::from_fn(|i| light[i] * self.exposure * uneven * self.tint[i])
    }

    fn metal(&self, s: &Surface) -> V3 {
        let slope = rotate2(s.slope, self.turn);
        let grooves = rotate2(s.grooves, self.turn);
        let normal = unit3([-slope[0], -slope[1], 1.0]);
        let along = [grooves[0], grooves[1], 0.0];
        let across = [-grooves[1], grooves[0], 0.0];
        let mut light = scale3(s.albedo, self.ambient * (0.35 + 0.65 * normal[2]));
        for lamp in &self.lamps {
            let facing = dot3(normal, lamp.direction).max(0.0);
            let half = unit3([lamp.direction[0], lamp.direction[1], lamp.direction[2] + 1.0]);
            // Grooves scatter light across themselves: the highlight is a fan along the lamp's azimuth.
            let tilt = 0.9 * dot2(slope, [across[0], across[1]]);
            let (t, b) = (dot3(half, along) / 0.15, (dot3(half, across) - tilt) / 0.6);
            let fan = 1.0 / (1.0 + t * t + b * b);
            let off = 1.0 - dot3(normal, half);
            let spot = 1.0 / (1.0 + off * 24.0);
            let shine = s.gloss * mix(spot * spot * 1.4, fan * fan * 1.1, s.grooved);
            let k = lamp.strength * s.open;
            light = std::array::from_fn(|i| light[i] + k * (s.albedo[i] * (0.32 * facing + 0.75 * shine) + 0.2 * shine));
        }
        scale3(light, mix(0.6, 1.0, s.open))
    }

    /// A dark green woven belt with dust, and the part's shadow on it.
    fn belt(&self, q: V2) -> V3 {
        let at = add2(q, self.belt);
        let weave = noise(scale2(at, 95.0), 7) * 0.5 + noise([at[0] * 40.0, at[1] * 170.0], 8) * 0.5;
        let wear = noise(scale2(at, 6.0), 9);
        let dust = smoothstep(0.82, 0.95, noise(scale2(at, 60.0), 10));
        let base = scale3([0.030, 0.052, 0.045], 1.0 + 0.32 * weave + 0.28 * wear);
        let from_part = sub2(q, self.shift);
        let away = scale2([self.lamps[0].direction[0], self.lamps[0].direction[1]], -0.035);
        let shadow = 1.0 - smoothstep(-0.015, 0.035, length2(sub2(from_part, away)) - self.radius);
        let contact = bump((length2(from_part) - self.radius) / 0.06);
        scale3(mix3(base, [0.12, 0.12, 0.115], 0.5 * dust), (1.0 - 0.6 * shadow) * (1.0 - 0.35 * contact))
    }

    /// Sensor: noise that grows with the light, then 8 bits.
    fn expose(&self, plane: Plane, size: u32) -> RgbImage {
        RgbImage::from_fn(size, size, |x, y| {
            let value = plane[(y * size + x) as usize];
            Rgb(std::array::from_fn(|i| {
                let sigma = self.noise * (0.6 + 0.8 * value[i]);
                let v = value[i] + sigma * grain(x as i32, y as i32, self.seed.wrapping_add(i as u32));
                (v * 255.0 + 0.5).clamp(0.0, 255.0) as u8
            }))
        })
    }
}

/// Linear light to display: a soft shoulder instead of hard clipping, then gamma 2.
fn display(light: f64) -> f64 {
    let shoulder = if light < 0.6 { light } else { 0.6 + 0.4 * (light - 0.6) / (light - 0.2) };
    shoulder.max(0.0).sqrt()
}

/// Weights `k, 1 - 2k, k` along rows, then along columns; edges repeat.
fn blur(plane: &mut Plane, size: usize, k: f64) {
    for (step, line) in [(1, size), (size, 1)] {
        for i in 0..size {
            let at = |j: usize| i * line + j * step;
            let mut before = plane[at(0)];
            for j in 0..size {
                let (here, after) = (plane[at(j)], plane[at((j + 1).min(size - 1))]);
                plane[at(j)] = std::array::from_fn(|c| here[c] + k * (before[c] - 2.0 * here[c] + after[c]));
                before = here;
            }
        }
    }
}

/// The pixels that differ visibly, closed by one pixel: a groove's bright and dark flank are one defect.
pub(super) fn difference(a: &Plane, b: &Plane, size: u32) -> GrayImage {
    let visible: Vec<bool> = a.iter().zip(b).map(|(a, b)| (0..3).any(|i| (a[i] - b[i]).abs() > VISIBLE)).collect();
    let n = size as i32;
    let inside = |x: i32, y: i32| (0..n).contains(&x) && (0..n).contains(&y);
    let near = |x: u32, y: u32| {
        (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))).map(move |(dx, dy)| (x as i32 + dx, y as i32 + dy))
    };
    let index = |(x, y): (i32, i32)| (y * n + x) as usize;
    let grown: Vec<bool> =
        (0..size * size).map(|i| near(i % size, i / size).any(|p| inside(p.0, p.1) && visible[index(p)])).collect();
    GrayImage::from_fn(size, size, |x, y| {
        let closed = near(x, y).all(|p| !inside(p.0, p.1) || grown[index(p)]);
        Luma([if closed { 255 } else { 0 }])
    })
}
