//! The product: a turned flange with six bolt holes, a hub, a bore with keyway and a laser mark.

use super::defect::{Defect, HoleState, MarkState};
use super::geometry::{BORE, CHAMFER, FILLET, HOLE, HOLES, HUB, KEYWAY, LETTER, MARK, SEAL_GROOVE, SPOT_FACE, hole_centre};
use super::mark::Text;
use super::math::*;
use super::surface::Surface;
use rand::Rng;
use std::sync::LazyLock;

static TEXT: LazyLock<Text> = LazyLock::new(|| Text::new("APC47"));

/// Properties that differ from one good part to the next.
#[derive(Debug, Clone)]
pub struct Part {
    seed: u32,
    /// Brightness of the metal.
    tone: f64,
    /// Depth of the turning marks.
    marks: f64,
    /// Contrast of the laser mark.
    laser: f64,
    mark_shift: V2,
}

impl Part {
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self {
            seed: rng.random(),
            tone: rng.random_range(0.94..1.06),
            marks: rng.random_range(0.75..1.25),
            laser: rng.random_range(0.85..1.0),
            mark_shift: [rng.random_range(-0.012..0.012), rng.random_range(-0.012..0.012)],
        }
    }

    /// The surface at `p`; `None` where the background shows.
    pub fn surface(&self, p: V2, defect: Option<&Defect>) -> Option<Surface> {
        let r = length2(p);
        let outward = unit2(p);
        let edge = 1.0 - r;
        if edge < 0.0 || defect.is_some_and(|d| d.is_gone(p)) {
            return None;
        }
        let mut s = self.face(p, r, outward);
        self.rim_and_hub(&mut s, edge, r, outward);
        self.bolt_holes(&mut s, p, defect);
        self.bore(&mut s, p, r, outward);
        self.mark(&mut s, p, defect);
        if let Some(defect) = defect {
            defect.alter(&mut s, p);
        }
        Some(s)
    }

    /// Turned metal: rings of slightly different slope and brightness, a few broad and many fine ones.
    fn face(&self, p: V2, r: f64, outward: V2) -> Surface {
        let on_hub = r < HUB;
        let fineness = if on_hub { 1.5 } else { 1.0 };
        let patina = noise(scale2(p, 3.0), self.seed ^ 1);
        // The tool wanders a little, so rings are not perfect.
        let wander = r + 0.004 * patina;
        let fine = noise1(wander * 52.0 * fineness, self.seed ^ 2);
        let broad = noise1(wander * 14.0, self.seed ^ 3);
        let marks = self.marks * if on_hub { 0.7 } else { 1.0 };
        let brightness = self.tone * (1.0 + 0.05 * fine * marks + 0.03 * broad + 0.03 * patina);
        Surface {
            albedo: scale3([0.50, 0.50, 0.485], brightness),
            slope: scale2(outward, 0.09 * marks * fine + 0.04 * broad),
            grooves: [-outward[1], outward[0]],
            gloss: 0.55,
            grooved: 1.0,
            open: 1.0,
        }
    }

    fn rim_and_hub(&self, s: &mut Surface, edge: f64, r: f64, outward: V2) {
        if edge < CHAMFER {
            s.slope = add2(s.slope, scale2(outward, -0.5));
        }
        // The hub is higher than the face: its flank falls outwards and keeps light from the foot.
        let flank = bump((r - HUB) / FILLET);
        s.slope = add2(s.slope, scale2(outward, -0.75 * flank));
        s.open *= 1.0 - 0.35 * bump((r - HUB - 1.3 * FILLET) / (2.0 * FILLET));
        let groove = (r - SEAL_GROOVE) / 0.02;
        if groove.abs() < 1.0 {
            s.slope = add2(s.slope, scale2(outward, 0.9 * groove * bump(groove) * 2.0));
            s.open *= 1.0 - 0.55 * bump(groove);
        }
    }

    fn bolt_holes(&self, s: &mut Surface, p: V2, defect: Option<&Defect>) {
        let Some(hole) = (0..HOLES).find(|&i| length2(sub2(p, hole_centre(i))) < SPOT_FACE + 0.02) else { return };
        let from_centre = sub2(p, hole_centre(hole));
        let (d, away) = (length2(from_centre), unit2(from_centre));
        if d < SPOT_FACE {
            // The spot face has its own turning marks around the hole's axis.
            let rings = noise1(d * 90.0, self.seed.wrapping_add(17 + hole as u32));
            s.slope = scale2(away, 0.06 * rings);
            s.grooves = [-away[1], away[0]];
            s.albedo = scale3([0.53, 0.53, 0.52], self.tone * (1.0 + 0.04 * rings));
        }
        let step = bump((d - SPOT_FACE) / 0.014);
        s.slope = add2(s.slope, scale2(away, 0.7 * step));
        s.open *= 1.0 - 0.25 * step;
        match defect.and_then(|d| d.hole(hole)) {
            None => drill(s, d, away, HOLE),
            Some(HoleState::Undersized(radius)) => drill(s, d, away, radius),
            // The tip of the drill leaves a cone.
            Some(HoleState::Started { radius, slope }) if d < radius => {
                s.slope = scale2(away, slope * smoothstep(0.0, 0.02, d));
                s.open *= mix(0.55, 0.9, d / radius);
            }
            Some(HoleState::Started { .. }) => {}
        }
    }

    fn bore(&self, s: &mut Surface, p: V2, r: f64, outward: V2) {
        let keyway = p[0].abs() < KEYWAY[0] && p[1] < 0.0 && p[1] > -KEYWAY[1];
        if keyway && r >= BORE {
            let side = (p[0] / KEYWAY[0]).abs();
            let end = smoothstep(-KEYWAY[1] + 0.02, -KEYWAY[1], p[1]);
            *s = wall(s, unit2([p[0], p[1].min(0.0) * 0.3]), smoothstep(0.6, 1.0, side).max(end));
        } else {
            drill(s, r, outward, BORE);
        }
    }

    fn mark(&self, s: &mut Surface, p: V2, defect: Option<&Defect>) {
        let ink = match defect.and_then(Defect::mark) {
            None => self.ink(p, [0.0; 2], 1.0),
            Some(MarkState::Double(shift)) => self.ink(p, [0.0; 2], 1.0).max(0.9 * self.ink(p, shift, 1.0)),
            Some(MarkState::Smeared { shift, copies }) => {
                (0..copies).map(|i| self.ink(p, scale2(shift, f64::from(i) / f64::from(copies)), 1.0) * 0.8).fold(0.0, f64::max)
            }
            Some(MarkState::Burnt(width)) => self.ink(p, [0.0; 2], width),
        };
        if ink > 0.0 {
            s.albedo = mix3(s.albedo, [0.10, 0.095, 0.09], ink * self.laser);
            s.gloss *= 1.0 - 0.8 * ink;
        }
    }

    /// Cover (0..=1) of the laser mark, moved by `shift`, with strokes `width` times as wide as they should be.
    fn ink(&self, p: V2, shift: V2, width: f64) -> f64 {
        let local = scale2(sub2(sub2(p, MARK), add2(self.mark_shift, shift)), 1.0 / LETTER);
        let margin = 0.1 * width;
        if local[0].abs() > TEXT.half[0] + margin || local[1].abs() > TEXT.half[1] + margin {
            return 0.0;
        }
        1.0 - smoothstep(0.055 * width, 0.055 * width + 0.03, TEXT.distance(local))
    }
}

/// A bore of `radius` with a chamfer, at distance `d` from its axis.
fn drill(s: &mut Surface, d: f64, away: V2, radius: f64) {
    if d < radius {
        *s = wall(s, away, smoothstep(0.62, 1.0, d / radius));
    } else if d < radius + 0.02 {
        s.slope = scale2(away, 0.95);
        s.grooved = 0.5;
    }
}

/// Inside a bore: the belt far below, dark, and near the edge (`near` 1) the wall, which faces the axis.
fn wall(s: &Surface, away: V2, near: f64) -> Surface {
    Surface {
        albedo: mix3([0.012, 0.016, 0.014], [0.16, 0.16, 0.155], near),
        slope: scale2(away, 2.2 * near),
        grooves: s.grooves,
        gloss: 0.15 * near,
        grooved: 0.0,
        open: mix(0.5, 0.8, near),
    }
}
