//! The defects of a part: their shapes, and how they change its surface.

use super::geometry::{HOLE, HOLES, MARK, hole_centre};
use super::mark::segment_distance;
use super::math::*;
use super::surface::Surface;
use rand::Rng;

/// Types of defects; each is a folder of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefectKind {
    /// A piece broken out of the outer edge.
    Chip,
    /// A knock: a smooth hollow.
    Dent,
    /// A bolt hole that was only started, or drilled too small.
    Hole,
    /// A laser mark struck twice, smeared or burnt.
    Mark,
    /// A thin bent groove.
    Scratch,
    /// A spot of oil or coolant.
    Stain,
}

impl DefectKind {
    /// All types, in the order in which they are rendered.
    pub const ALL: [Self; 6] = [Self::Chip, Self::Dent, Self::Hole, Self::Mark, Self::Scratch, Self::Stain];

    /// Name of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chip => "chip",
            Self::Dent => "dent",
            Self::Hole => "hole",
            Self::Mark => "mark",
            Self::Scratch => "scratch",
            Self::Stain => "stain",
        }
    }
}

/// Width of the rough band around a chip.
const FRACTURE: f64 = 0.035;

/// One defect on one part; lengths as in [`super::geometry`].
#[derive(Debug, Clone)]
pub enum Defect {
    Chip { centre: V2, radius: f64, seed: u32 },
    Dent { centre: V2, axes: V2, turn: (f64, f64), slope: f64 },
    Hole { hole: usize, state: HoleState },
    Mark(MarkState),
    Scratch { points: Vec<V2>, width: f64, slope: f64, shine: f64 },
    Stain { drops: Vec<(V2, f64)>, strength: f64, tint: V3, seed: u32 },
}

#[derive(Debug, Clone, Copy)]
pub enum HoleState {
    Started { radius: f64, slope: f64 },
    Undersized(f64),
}

#[derive(Debug, Clone, Copy)]
pub enum MarkState {
    Double(V2),
    Smeared { shift: V2, copies: u32 },
    Burnt(f64),
}

impl Defect {
    pub fn draw(kind: DefectKind, rng: &mut impl Rng) -> Self {
        match kind {
            DefectKind::Chip => {
                let (sin, cos) = sin_cos(rng.random_range(0.0..1.0));
                let radius = rng.random_range(0.12..0.24);
                let distance = 1.0 + rng.random_range(-0.01..0.35 * radius);
                Self::Chip { centre: [distance * cos, distance * sin], radius, seed: rng.random() }
            }
            DefectKind::Dent => {
                let radius = rng.random_range(0.12..0.20);
                Self::Dent {
                    centre: on_the_face(rng),
                    axes: [radius, radius * rng.random_range(0.65..1.0)],
                    turn: sin_cos(rng.random_range(0.0..0.5)),
                    slope: rng.random_range(0.6..1.1),
                }
            }
            DefectKind::Hole => Self::Hole {
                hole: rng.random_range(0..HOLES as u32) as usize,
                state: if rng.random_bool(0.65) {
                    let radius = HOLE * rng.random_range(0.35..0.95);
                    HoleState::Started { radius, slope: rng.random_range(0.5..0.9) }
                } else {
                    HoleState::Undersized(HOLE * rng.random_range(0.45..0.75))
                },
            },
            DefectKind::Mark => Self::Mark(match rng.random_range(0..4u32) {
                0 => MarkState::Double(around(rng, 0.06..0.11)),
                1 => MarkState::Smeared { shift: around(rng, 0.10..0.18), copies: 10 },
                _ => MarkState::Burnt(rng.random_range(3.0..5.0)),
            }),
            DefectKind::Scratch => scratch(rng),
            DefectKind::Stain => {
                let (centre, size) = (on_the_face(rng), rng.random_range(0.10..0.20));
                let drop = |rng: &mut _| (add2(centre, around(rng, 0.0..size)), size * 0.8);
                Self::Stain {
                    drops: (0..4).map(|_| drop(rng)).collect(),
                    strength: rng.random_range(0.65..1.0),
                    tint: if rng.random_bool(0.6) { [0.42, 0.31, 0.17] } else { [0.33, 0.37, 0.40] },
                    seed: rng.random(),
                }
            }
        }
    }

    /// Centre and radius of a circle outside which nothing changes.
    pub fn bounds(&self) -> (V2, f64) {
        let around = |centre: V2, points: &[V2]| points.iter().map(|&p| length2(sub2(p, centre))).fold(0.0, f64::max);
        match self {
            Self::Chip { centre, radius, .. } => (*centre, 1.45 * radius + FRACTURE),
            Self::Dent { centre, axes, .. } => (*centre, axes[0]),
            Self::Hole { hole, .. } => (hole_centre(*hole), HOLE + 0.02),
            Self::Mark(_) => (MARK, 0.55),
            Self::Scratch { points, width, .. } => {
                let centre = points[points.len() / 2];
                (centre, around(centre, points) + 1.8 * width)
            }
            Self::Stain { drops, .. } => {
                let (centre, radius) = drops[0];
                let centres: Vec<V2> = drops.iter().map(|d| d.0).collect();
                (centre, around(centre, &centres) + 1.3 * radius)
            }
        }
    }

    /// Whether the material is missing here, so that one sees the background.
    pub fn is_gone(&self, p: V2) -> bool {
        matches!(self, Self::Chip { .. }) && self.chip_depth(p) > 0.0
    }

    /// The fault of a bolt hole; none where this defect does not concern it.
    pub fn hole(&self, hole: usize) -> Option<HoleState> {
        match self {
            Self::Hole { hole: ours, state } if *ours == hole => Some(*state),
            _ => None,
        }
    }

    /// The fault of the laser mark; none where this defect does not concern it.
    pub fn mark(&self) -> Option<MarkState> {
        match self {
            Self::Mark(state) => Some(*state),
            _ => None,
        }
    }

    /// Changes the surface at `p`.
    pub fn alter(&self, s: &mut Surface, p: V2) {
        match self {
            Self::Chip { seed, .. } => {
                // A band of rough fracture between the gap and the sound metal.
                let depth = self.chip_depth(p);
                if depth > -FRACTURE {
                    let rough = scale2(p, 38.0);
                    s.slope = [1.3 * noise(rough, seed ^ 5), 1.3 * noise(rough, seed ^ 6)];
                    s.albedo = scale3([0.40, 0.40, 0.41], 1.0 + 0.35 * noise(scale2(p, 60.0), seed ^ 7));
                    s.grooved = 0.0;
                    s.gloss = 0.45;
                    s.open *= 0.8;
                }
            }
            Self::Dent { centre, axes, turn, slope } => {
                let local = rotate2(sub2(p, *centre), *turn);
                let q = [local[0] / axes[0], local[1] / axes[1]];
                let d = length2(q);
                if d < 1.0 {
                    // Gradient of the hollow -(1 - d^2)^2, steepest at d = 0.58, scaled to `slope` there.
                    let steep = slope * 1.3 * 2.0 * d * (1.0 - d * d);
                    let downhill = unit2([q[0] / axes[0], q[1] / axes[1]]);
                    let back = rotate2(downhill, (-turn.0, turn.1));
                    s.slope = add2(s.slope, scale2(back, steep));
                    s.grooved *= smoothstep(0.5, 1.0, d);
                }
            }
            Self::Hole { .. } | Self::Mark(_) => {}
            Self::Scratch { points, width, slope, shine } => {
                let Some((d, along, across)) = nearest(points, p) else { return };
                // Starts and ends gently.
                let width = width * (0.35 + 0.65 * bump(2.0 * along - 1.0));
                let x = d / width;
                if x < 1.8 {
                    let core = bump(x / 1.8);
                    s.slope = add2(s.slope, scale2(across, slope * x * bump(x / 1.8) * 1.6));
                    s.albedo = scale3(s.albedo, 1.0 + shine * core);
                    s.grooved *= 1.0 - core;
                    s.gloss *= 1.0 - 0.3 * core;
                }
            }
            Self::Stain { drops, strength, tint, seed } => {
                let field = drops.iter().map(|&(c, r)| 1.0 - length2(sub2(p, c)) / r).fold(f64::NEG_INFINITY, f64::max);
                let cover = smoothstep(0.0, 0.22, field + 0.3 * cloud(scale2(p, 9.0), *seed)) * strength;
                let wet: V3 = std::array::from_fn(|i| s.albedo[i] * tint[i]);
                s.albedo = mix3(s.albedo, wet, cover);
                // The film fills the grooves and shines by itself.
                s.slope = scale2(s.slope, 1.0 - 0.75 * cover);
                s.gloss *= 1.0 - 0.6 * cover;
                s.grooved *= 1.0 - cover;
            }
        }
    }

    /// How far `p` lies inside the gap of a chip; negative outside.
    fn chip_depth(&self, p: V2) -> f64 {
        let Self::Chip { centre, radius, seed } = self else { return f64::NEG_INFINITY };
        let ragged = 1.0 + 0.3 * noise(scale2(p, 14.0), *seed) + 0.15 * noise(scale2(p, 33.0), seed ^ 1);
        radius * ragged - length2(sub2(p, *centre))
    }
}

fn around(rng: &mut impl Rng, distance: std::ops::Range<f64>) -> V2 {
    let (sin, cos) = sin_cos(rng.random_range(0.0..1.0));
    scale2([cos, sin], rng.random_range(distance))
}

/// A point on the face, clear of holes and mark.
fn on_the_face(rng: &mut impl Rng) -> V2 {
    loop {
        let p = around(rng, 0.28..0.92);
        let clear_of_holes = (0..HOLES).all(|i| length2(sub2(p, hole_centre(i))) > 0.17);
        if clear_of_holes && length2(sub2(p, MARK)) > 0.2 {
            return p;
        }
    }
}

fn scratch(rng: &mut impl Rng) -> Defect {
    let start = around(rng, 0.45..0.9);
    let reach = around(rng, 0.4..1.2);
    // Towards the inside, or most of it would lie beside the part.
    let reach = if dot2(start, reach) > 0.0 { scale2(reach, -1.0) } else { reach };
    let end = add2(start, reach);
    let bend = scale2([-reach[1], reach[0]], rng.random_range(-0.25..0.25));
    let middle = add2(scale2(add2(start, end), 0.5), bend);
    let steps = 14;
    let points = (0..=steps).map(|i| {
        let t = f64::from(i) / f64::from(steps);
        let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
        add2(add2(scale2(start, a), scale2(middle, b)), scale2(end, c))
    });
    Defect::Scratch {
        points: points.collect(),
        width: rng.random_range(0.018..0.034),
        slope: rng.random_range(0.5..1.1),
        shine: if rng.random_bool(0.6) { rng.random_range(0.8..1.6) } else { rng.random_range(-0.85..-0.6) },
    }
}

/// Distance to a polyline, how far along it (0..=1), and the direction away from it.
fn nearest(points: &[V2], p: V2) -> Option<(f64, f64, V2)> {
    let pieces = points.len().checked_sub(1)? as f64;
    let near = |(i, ends): (usize, &[V2])| {
        let (d, t) = segment_distance(p, ends[0], ends[1]);
        let foot = add2(ends[0], scale2(sub2(ends[1], ends[0]), t));
        (d, (i as f64 + t) / pieces, unit2(sub2(p, foot)))
    };
    points.windows(2).enumerate().map(near).min_by(|a, b| a.0.total_cmp(&b.0))
}
