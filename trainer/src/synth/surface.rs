//! The surface of the product at one point: the input of the lighting.

use super::math::{V2, V3};

/// Colour, direction and reflection of the surface at one point.
#[derive(Debug, Clone)]
pub struct Surface {
    pub albedo: V3,
    /// Gradient of the height.
    pub slope: V2,
    /// Unit direction of the machining grooves.
    pub grooves: V2,
    /// Strength of the mirror-like part of the reflection.
    pub gloss: f64,
    /// 1: reflects like grooved metal; 0: like a rough or wet surface, the same in all directions.
    pub grooved: f64,
    /// Share of the light that gets here.
    pub open: f64,
}
