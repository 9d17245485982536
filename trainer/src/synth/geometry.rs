//! The dimensions of the product. Lengths are in units of its outer radius, the origin is its axis, y points down.

use super::math::{V2, sin_cos};
use std::sync::LazyLock;

pub const CHAMFER: f64 = 0.035;
pub const HUB: f64 = 0.44;
pub const FILLET: f64 = 0.035;
pub const SEAL_GROOVE: f64 = 0.335;
pub const BORE: f64 = 0.20;
/// Half the width of the keyway, and the distance of its end from the axis.
pub const KEYWAY: V2 = [0.052, 0.275];
/// Radius of the circle on which the bolt holes lie.
const PITCH: f64 = 0.725;
/// Radius of a bolt hole.
pub const HOLE: f64 = 0.088;
/// Radius of the turned face around a bolt hole.
pub const SPOT_FACE: f64 = 0.142;
/// Number of bolt holes.
pub const HOLES: usize = 6;
/// Centre of the laser mark.
pub const MARK: V2 = [0.0, 0.77];
/// Height of the laser mark's letters.
pub const LETTER: f64 = 0.115;

/// The laser mark is straight below the axis, between two holes.
static HOLE_CENTRES: LazyLock<[V2; HOLES]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let (sin, cos) = sin_cos(i as f64 / HOLES as f64);
        [PITCH * cos, PITCH * sin]
    })
});

/// Centre of a bolt hole.
pub fn hole_centre(hole: usize) -> V2 {
    HOLE_CENTRES[hole % HOLES]
}
