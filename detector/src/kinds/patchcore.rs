//! PatchCore: backbone, patch descriptors, memory bank.

use crate::Result;
use crate::bundle::{Bundle, FUSED_APART, Variant};
use crate::engine::{Engine, EngineKind, Machine, start};
use crate::scorer::{FusedScorer, PatchScorer, ScoreRule, Scorer, SecondLook};

pub(super) fn scorer(bundle: &Bundle, engine: EngineKind, variant: Variant, machine: &Machine) -> Result<Box<dyn Scorer>> {
    let manifest = &bundle.manifest;
    match variant {
        Variant::Fused => {
            // Graphs of older formats add the defect head's share to the distances themselves.
            let rule = bundle.score_rule()?;
            let rule = ScoreRule { defects: rule.defects.filter(|_| manifest.format >= FUSED_APART), ..rule };
            let network = network(bundle, engine, variant, machine)?;
            Ok(Box::new(FusedScorer::new(network, manifest.input.clone(), rule)))
        }
        Variant::Float | Variant::Int8 => Ok(Box::new(patch_scorer(bundle, engine, variant, machine)?)),
    }
}

/// The int8 network's scorer, which asks the float network near the threshold. The scorers of both are tested before they are joined;
/// the difference is the int8 one's.
pub(super) fn scorer_with_second_look(
    bundle: &Bundle,
    engine: EngineKind,
    share: f32,
    machine: &Machine,
    test: &mut dyn FnMut(Variant, &mut dyn Scorer) -> Result<f32>,
) -> Result<(Box<dyn Scorer>, f32)> {
    let mut fast = patch_scorer(bundle, engine, Variant::Int8, machine)?;
    let difference = test(Variant::Int8, &mut fast)?;
    let mut exact = patch_scorer(bundle, engine, Variant::Float, machine)?;
    test(Variant::Float, &mut exact)?;
    let threshold = bundle.variant(Variant::Float)?.1.threshold;
    let second = SecondLook { engine: exact.into_engine(), share, threshold };
    Ok((Box::new(fast.with_second_look(second)), difference))
}

/// A backbone and the memory bank.
fn patch_scorer(
    bundle: &Bundle,
    engine: EngineKind,
    variant: Variant,
    machine: &Machine,
) -> Result<PatchScorer<Box<dyn Engine>>> {
    let manifest = &bundle.manifest;
    let network = network(bundle, engine, variant, machine)?;
    let (input, descriptor) = (manifest.input.clone(), manifest.descriptor.kind);
    Ok(PatchScorer::new(network, input, descriptor, bundle.bank()?, bundle.score_rule()?))
}

fn network(bundle: &Bundle, engine: EngineKind, variant: Variant, machine: &Machine) -> Result<Box<dyn Engine>> {
    let (onnx, ..) = bundle.variant(variant)?;
    start((onnx, variant), bundle.manifest.input.input(), engine, machine, &bundle.id)
}
