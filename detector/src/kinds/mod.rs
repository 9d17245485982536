//! The kinds of detectors, and the only code that asks which kind a bundle holds. A new kind is a variant of [`Kind`], a module beside
//! `patchcore`, and an arm in each `match` here.

pub(crate) mod kind;
mod patchcore;

pub use kind::Kind;

use crate::Result;
use crate::bundle::{Bundle, Variant};
use crate::engine::{EngineKind, Machine};
use crate::scorer::Scorer;

/// A scorer that has not passed the bundle's self-test on this engine: nothing but the self-test may score with it.
///
/// # Errors
/// When the engine cannot start or the bundle's parts do not fit.
pub(crate) fn untested_scorer(
    bundle: &Bundle,
    engine: EngineKind,
    variant: Variant,
    machine: &Machine,
) -> Result<Box<dyn Scorer>> {
    match bundle.manifest.detector.kind {
        Kind::PatchCore => patchcore::scorer(bundle, engine, variant, machine),
    }
}

/// A scorer of the int8 network that asks the float network where a score is within `share` of the threshold. `test` tests the scorer of
/// either network before it is used; its result for the int8 one is given back.
///
/// # Errors
/// As [`untested_scorer`], and when a test fails.
pub(crate) fn scorer_with_second_look(
    bundle: &Bundle,
    engine: EngineKind,
    share: f32,
    machine: &Machine,
    test: &mut dyn FnMut(Variant, &mut dyn Scorer) -> Result<f32>,
) -> Result<(Box<dyn Scorer>, f32)> {
    match bundle.manifest.detector.kind {
        Kind::PatchCore => patchcore::scorer_with_second_look(bundle, engine, share, machine, test),
    }
}
