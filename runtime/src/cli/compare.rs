//! `apc-runtime bench --compare`: engines and networks side by side.

use anyhow::{Result, bail};
use detector::bundle::{Bundle, Variant};
use detector::engine::{EngineKind, VariantChoice};
use detector::evaluate::Latency;
use detector::{Detector, Setup};
use serde::Serialize;

use super::bench::{Pictures, score};
use super::output;

/// A candidate must be this much faster than one before it, or noise would choose.
const FASTER: f64 = 0.95;

#[derive(Serialize)]
pub(super) struct Comparison {
    bundle: String,
    threads: usize,
    frames: u32,
    candidates: Vec<Candidate>,
    /// What to write into the configuration.
    recommended: Recommended,
}

/// One engine with one network; figures are null and `problem` says why where it cannot be used.
#[derive(Serialize)]
struct Candidate {
    engine: EngineKind,
    variant: &'static str,
    total_ms: Option<Latency>,
    backbone_p50_ms: Option<f64>,
    self_test_difference: Option<f32>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct Recommended {
    engine: EngineKind,
    variant: &'static str,
}

/// Scores every picture on all candidates in turn, so that what slows the machine slows all of them.
pub(super) fn compare(bundle: &Bundle, setup: &Setup, pictures: &Pictures, frames: u32) -> Result<Comparison> {
    let mut candidates = Vec::new();
    let mut running: Vec<(usize, Detector, Vec<detector::scorer::Times>)> = Vec::new();
    for engine in &setup.engines {
        for (variant, choice) in variants(bundle) {
            let alone = Setup { engines: vec![*engine], variant: choice, ..setup.clone() };
            let mut candidate = Candidate {
                engine: *engine,
                variant: variant.name(),
                total_ms: None,
                backbone_p50_ms: None,
                self_test_difference: None,
                problem: None,
            };
            match Detector::start(bundle, &alone) {
                Ok(detector) => {
                    candidate.self_test_difference = Some(detector.self_test_difference);
                    running.push((candidates.len(), detector, Vec::with_capacity(frames as usize)));
                }
                Err(error) => candidate.problem = Some(error.to_string()),
            }
            candidates.push(candidate);
        }
    }
    let bar = output::progress("bench", frames as usize);
    for frame in 0..frames as usize {
        for (_, detector, times) in &mut running {
            // Once more than is counted: another candidate has just used the caches.
            score(detector, pictures, frame)?;
            times.push(score(detector, pictures, frame)?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut best: Option<(usize, f64)> = None;
    for (index, _, times) in &running {
        let latency =
            |of: fn(&detector::scorer::Times) -> std::time::Duration| Latency::of(&times.iter().map(of).collect::<Vec<_>>());
        let (total, backbone) = (latency(detector::scorer::Times::total), latency(|times| times.backbone));
        candidates[*index].total_ms = Some(total);
        candidates[*index].backbone_p50_ms = Some(backbone.p50);
        if best.is_none_or(|(_, least)| total.p50 < FASTER * least) {
            best = Some((*index, total.p50));
        }
    }
    let Some((best, _)) = best else {
        let problems: Vec<String> = candidates.into_iter().filter_map(|candidate| candidate.problem).collect();
        bail!("no engine starts: {}", problems.join("; "));
    };
    let recommended = Recommended { engine: candidates[best].engine, variant: candidates[best].variant };
    let threads = rayon::current_num_threads();
    Ok(Comparison { bundle: bundle.id.clone(), threads, frames, candidates, recommended })
}

fn variants(bundle: &Bundle) -> Vec<(Variant, VariantChoice)> {
    let all =
        [(Variant::Float, VariantChoice::Float), (Variant::Int8, VariantChoice::Int8), (Variant::Fused, VariantChoice::Fused)];
    let has = |variant: Variant| variant == Variant::Float || bundle.manifest.variants.contains_key(&variant);
    all.into_iter().filter(|(variant, _)| has(*variant)).collect()
}

impl Comparison {
    pub(super) fn table(&self) -> String {
        let mut lines = vec![format!(
            "{:9} {:8} {:>9} {:>9} {:>9} {:>12}",
            "engine", "network", "p50, ms", "p95, ms", "backbone", "self-test"
        )];
        for candidate in &self.candidates {
            let Candidate { engine, variant, .. } = candidate;
            lines.push(match (&candidate.total_ms, candidate.backbone_p50_ms, candidate.self_test_difference) {
                (Some(total), Some(backbone), Some(difference)) => {
                    format!("{engine:9} {variant:8} {:9.2} {:9.2} {backbone:9.2} {difference:12.1e}", total.p50, total.p95)
                }
                _ => format!("{engine:9} {variant:8} {}", candidate.problem.as_deref().unwrap_or_default()),
            });
        }
        let Recommended { engine, variant } = &self.recommended;
        lines.push(format!("recommended here: engines = [\"{engine}\"], variant = \"{variant}\""));
        lines.push(format!("{} threads, {} frames, candidates in turn", self.threads, self.frames));
        lines.join("\n")
    }
}
