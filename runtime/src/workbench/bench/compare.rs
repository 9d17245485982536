use std::time::Duration;

use detector::bundle::{Bundle, Variant};
use detector::engine::{EngineKind, VariantChoice};
use detector::evaluate::Latency;
use detector::scorer::Times;
use detector::{Detector, Setup};
use serde::Serialize;

use super::error::BenchError;
use super::pictures::Pictures;

/// A candidate must be this much faster than one before it, or noise would choose.
const FASTER: f64 = 0.95;

/// Engines and networks of a bundle side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The bundle's id.
    pub bundle: String,
    /// Threads of backbone and search.
    pub threads: usize,
    /// Frames that each candidate scored.
    pub frames: u32,
    /// Every engine with every network.
    pub candidates: Vec<Candidate>,
    /// The settings for the configuration.
    pub recommended: Recommended,
}

/// One engine with one network. Where it cannot be used, the figures are `None` and `problem` is the reason.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// The engine.
    pub engine: EngineKind,
    /// Name of the network's variant.
    pub variant: &'static str,
    /// Times of whole frames, milliseconds.
    pub total_ms: Option<Latency>,
    /// Median of the network's time, milliseconds.
    pub backbone_p50_ms: Option<f64>,
    /// Largest relative difference of a reference's score.
    pub self_test_difference: Option<f32>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// The fastest candidate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Recommended {
    /// The engine.
    pub engine: EngineKind,
    /// Name of the network's variant.
    pub variant: &'static str,
}

/// A candidate that runs: its place in the list, and its times so far.
struct Running {
    place: usize,
    detector: Detector,
    times: Vec<Times>,
}

/// Scores every picture on all candidates in turn, so that what slows the machine slows all of them. `progress` is called after each
/// frame.
///
/// # Errors
/// When no candidate starts, or one fails on a picture.
pub fn compare(
    bundle: &Bundle,
    setup: &Setup,
    pictures: &Pictures,
    frames: u32,
    progress: &mut dyn FnMut(),
) -> Result<Comparison, BenchError> {
    let (mut candidates, mut running) = start_all(bundle, setup);
    for frame in 0..frames as usize {
        for Running { detector, times, .. } in &mut running {
            // Once more than is counted: another candidate has just used the caches.
            pictures.score(detector, frame)?;
            times.push(pictures.score(detector, frame)?);
        }
        progress();
    }
    for Running { place, times, .. } in &running {
        let latency = |of: fn(&Times) -> Duration| Latency::of(&times.iter().map(of).collect::<Vec<_>>());
        candidates[*place].total_ms = Some(latency(Times::total));
        candidates[*place].backbone_p50_ms = Some(latency(|times| times.backbone).p50);
    }
    let Some(recommended) = fastest(&candidates) else {
        let problems: Vec<String> = candidates.into_iter().filter_map(|candidate| candidate.problem).collect();
        return Err(BenchError::NoEngine(problems.join("; ")));
    };
    let threads = rayon::current_num_threads();
    Ok(Comparison { bundle: bundle.id.clone(), threads, frames, candidates, recommended })
}

/// Every engine with every network, and the candidates among them that start.
fn start_all(bundle: &Bundle, setup: &Setup) -> (Vec<Candidate>, Vec<Running>) {
    let (mut candidates, mut running) = (Vec::new(), Vec::new());
    for &engine in &setup.engines {
        for (variant, choice) in variants(bundle) {
            let alone = Setup { engines: vec![engine], variant: choice, ..setup.clone() };
            let mut candidate = Candidate {
                engine,
                variant: variant.name(),
                total_ms: None,
                backbone_p50_ms: None,
                self_test_difference: None,
                problem: None,
            };
            match Detector::start(bundle, &alone) {
                Ok(detector) => {
                    candidate.self_test_difference = Some(detector.self_test_difference);
                    running.push(Running { place: candidates.len(), detector, times: Vec::new() });
                }
                Err(error) => candidate.problem = Some(error.to_string()),
            }
            candidates.push(candidate);
        }
    }
    (candidates, running)
}

/// The fastest of the candidates that run; a later one only where it is clearly faster.
fn fastest(candidates: &[Candidate]) -> Option<Recommended> {
    let mut best: Option<(&Candidate, f64)> = None;
    for candidate in candidates {
        let Some(Latency { p50, .. }) = candidate.total_ms else { continue };
        if best.is_none_or(|(_, least)| p50 < FASTER * least) {
            best = Some((candidate, p50));
        }
    }
    best.map(|(Candidate { engine, variant, .. }, _)| Recommended { engine: *engine, variant })
}

fn variants(bundle: &Bundle) -> Vec<(Variant, VariantChoice)> {
    let all =
        [(Variant::Float, VariantChoice::Float), (Variant::Int8, VariantChoice::Int8), (Variant::Fused, VariantChoice::Fused)];
    let has = |variant: Variant| variant == Variant::Float || bundle.manifest.variants.contains_key(&variant);
    all.into_iter().filter(|(variant, _)| has(*variant)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(engine: EngineKind, p50: Option<f64>) -> Candidate {
        Candidate {
            engine,
            variant: "float",
            total_ms: p50.map(|p50| Latency { p50, p95: p50, p99: p50 }),
            backbone_p50_ms: None,
            self_test_difference: None,
            problem: None,
        }
    }

    #[test]
    fn noise_does_not_choose() {
        let fastest = |times: [Option<f64>; 3]| {
            let engines = [EngineKind::Tract, EngineKind::OrtCpu, EngineKind::Cuda];
            let candidates: Vec<_> = engines.into_iter().zip(times).map(|(engine, p50)| candidate(engine, p50)).collect();
            fastest(&candidates).map(|recommended| recommended.engine)
        };
        assert_eq!(fastest([Some(10.0), Some(9.8), None]), Some(EngineKind::Tract));
        assert_eq!(fastest([Some(10.0), Some(9.0), Some(8.9)]), Some(EngineKind::OrtCpu));
        assert_eq!(fastest([None, None, Some(50.0)]), Some(EngineKind::Cuda));
        assert_eq!(fastest([None; 3]), None);
    }
}
