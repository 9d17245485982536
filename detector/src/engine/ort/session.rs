//! Starting a session on the provider that was asked for, and on no other.

use ort::ep::{CUDA, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::super::kind::{EngineKind, Machine};
use super::library::OrtLibrary;
use super::tensorrt;
use crate::bundle::Variant;
use crate::placement;

type Result<T> = std::result::Result<T, String>;

pub(super) fn start(
    (onnx, variant): (&[u8], Variant),
    kind: EngineKind,
    machine: &Machine,
    bundle: &str,
    library: &OrtLibrary,
) -> Result<Session> {
    let told = |error: ort::Error<SessionBuilder>| error.to_string();
    let mut builder = Session::builder(&library.environment)
        .map_err(|error| error.to_string())?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(told)?
        .with_intra_threads(rayon::current_num_threads())
        .map_err(told)?
        .with_inter_threads(1)
        .map_err(told)?
        .with_dimension_override("batch", 1)
        .map_err(told)?
        // Otherwise its threads wait for work by spinning for tens of milliseconds: they would slow down the search, which runs next, and
        // waste power between frames.
        .with_config_entry("session.intra_op.allow_spinning", "0")
        .map_err(told)?;
    if kind.on_gpu() {
        // Otherwise a node that no GPU provider takes runs on the CPU, and nobody knows why it is slow.
        builder = builder
            .with_execution_providers(providers(kind, variant, machine, bundle, library)?)
            .map_err(told)?
            .with_disable_cpu_fallback()
            .map_err(told)?;
    } else {
        if bytes_overflow() {
            // Only here: precise products are slower, also where nothing overflows.
            builder = builder.with_precise_qmm().map_err(told)?;
        }
        if let Some([_, others @ ..]) = placement::of_threads(rayon::current_num_threads()) {
            // ONNX Runtime counts processors from 1. The first processor is left to the thread that calls a run.
            let affinities: Vec<String> = others.iter().map(|processor| (processor + 1).to_string()).collect();
            builder = builder.with_config_entry("session.intra_op_thread_affinities", affinities.join(";")).map_err(told)?;
        }
    }
    builder.commit_from_memory(onnx).map_err(|error| error.to_string())
}

fn providers(
    kind: EngineKind,
    variant: Variant,
    machine: &Machine,
    bundle: &str,
    library: &OrtLibrary,
) -> Result<Vec<ExecutionProviderDispatch>> {
    // TF32 has ten bits of mantissa: scores would leave the tolerance of a float engine.
    let cuda = CUDA::default().with_tf32(false).build().error_on_failure();
    if kind != EngineKind::Tensorrt {
        return Ok(vec![cuda]);
    }
    // The self-test of the float network does not tolerate half precision.
    let mut tensorrt = TensorRT::default().with_fp16(variant == Variant::Fused);
    if let Some(state) = &machine.state {
        let cache = tensorrt::cache(state, bundle, &library.version)?;
        tensorrt = tensorrt
            .with_engine_cache(true)
            .with_engine_cache_path(cache.display())
            .with_timing_cache(true)
            .with_timing_cache_path(cache.display());
    }
    Ok(vec![tensorrt.build().error_on_failure(), cuda])
}

/// Whether ONNX Runtime sums products of bytes in 16 bits, in which weights of a full byte overflow: it does on x86 without VNNI.
fn bytes_overflow() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !(is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"));
    #[cfg(not(target_arch = "x86_64"))]
    false
}
