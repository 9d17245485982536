//! The work of searching for a frame's patches: all comparisons, the comparisons that the search makes, and the most that this processor
//! can do. For `cargo xtask bench search`: `roofline BUNDLE.apc ONNXRUNTIME IMAGE...` prints one JSON document. ONNXRUNTIME is the path of
//! ONNX Runtime's library, or "-" to run the float network on tract.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use detector::bank::{Effort, Kernel};
use detector::bundle::{Bundle, Variant};
use detector::engine::{Engine, EngineKind, Machine, OrtEngine, TractEngine};
use detector::picture::Picture;
use detector::placement;
use rayon::prelude::*;
use serde::Serialize;

const THREADS: usize = 2;
/// Number of measurements; their median is printed.
const ROUNDS: usize = 15;

#[derive(Serialize)]
struct Document {
    kernel: &'static str,
    network: &'static str,
    vectors: usize,
    dims: usize,
    /// Per frame, means over the images.
    patches: usize,
    groups: f64,
    sketches: f64,
    compared: f64,
    /// Medians.
    network_ms: f64,
    after_network_ms: f64,
    search_ms: f64,
    /// Of all threads together.
    peak_multiply_adds_per_second: f64,
    /// Bytes a second, when as many bytes as the bank and its sketches hold are read again and again.
    bytes_per_second: f64,
    /// Multiplications and bytes of comparing every vector, and of the search.
    brute: Work,
    work: Work,
}

#[derive(Serialize)]
struct Work {
    multiply_adds: f64,
    bytes: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, library, images @ ..] = &arguments[..] else {
        return Err("expected BUNDLE.apc ONNXRUNTIME|- IMAGE...".into());
    };
    placement::pool(THREADS).build_global()?;
    let bundle = Bundle::read(Path::new(bundle))?;
    let (bank, manifest) = (bundle.bank()?, &bundle.manifest);
    let int8 = library != "-" && manifest.variants.contains_key(&Variant::Int8);
    let (variant, network) = if int8 { (Variant::Int8, "int8 on ort-cpu") } else { (Variant::Float, "float on tract") };
    let (onnx, ..) = bundle.variant(variant)?;
    let size = manifest.input.input();
    let machine = Machine { onnxruntime: Some(library.into()), state: None };
    let mut engine: Box<dyn Engine> = match int8 {
        true => Box::new(OrtEngine::load((onnx, variant), size, EngineKind::OrtCpu, &machine, &bundle.id)?),
        false => Box::new(TractEngine::load(onnx, size)?),
    };

    let (mut network_ms, mut after_ms, mut search_ms, mut effort) = (vec![], vec![], vec![], Effort::default());
    for image in images {
        let picture = Picture::read(Path::new(image))?;
        let input = manifest.input.normalise(&manifest.input.prepare(&picture.pixels)?.pixels);
        for round in 0..ROUNDS {
            let start = Instant::now();
            let mut maps = engine.run(&input)?;
            network_ms.push(milliseconds(start));
            if manifest.defects.is_some() {
                maps.pop();
            }
            let start = Instant::now();
            let patches = manifest.descriptor.kind.describe(&maps)?;
            let begun = Instant::now();
            let (_, found) = bank.nearest_with(black_box(&patches.values), patches.width, Kernel::best())?;
            search_ms.push(milliseconds(begun));
            after_ms.push(milliseconds(start));
            if round == 0 {
                effort = effort + found;
            }
        }
    }
    let frames = images.len() as f64;
    let patches = effort.queries / images.len();
    let each = |count: usize| count as f64 / frames;
    let (groups, sketches, compared) = (each(effort.groups), each(effort.sketches), each(effort.vectors));
    let (dims, vectors) = (bank.dims() as f64, bank.len() as f64);
    let brute = Work { multiply_adds: patches as f64 * vectors * dims, bytes: vectors * dims };
    // A group is 16 rows of 8 coordinates in 16 bits, a fine sketch 32 of them, a vector one byte a value.
    let work = Work {
        multiply_adds: groups * 128.0 + sketches * 32.0 + compared * dims,
        bytes: groups * 256.0 + sketches * 64.0 + compared * dims,
    };
    let document = Document {
        kernel: Kernel::best().name,
        network,
        vectors: bank.len(),
        dims: bank.dims(),
        patches,
        groups,
        sketches,
        compared,
        network_ms: median(network_ms),
        after_network_ms: median(after_ms),
        search_ms: median(search_ms),
        peak_multiply_adds_per_second: peak(Kernel::best()),
        bytes_per_second: reading(bank.len() * (bank.dims() + 64 + 16)),
        brute,
        work,
    };
    println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Multiply-adds a second of the product kernel, all threads, the best of some rounds.
fn peak(kernel: Kernel) -> f64 {
    let once = || {
        let start = Instant::now();
        let done: usize = (0..THREADS).into_par_iter().map(|_| kernel.exercise(20_000)).sum();
        done as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

/// Bytes a second that all threads read; each thread reads all bytes.
fn reading(bytes: usize) -> f64 {
    let words: Vec<u64> = vec![1; bytes / 8];
    let passes = (1 << 28) / bytes.max(1) + 1;
    let once = || {
        let start = Instant::now();
        let sum: u64 = (0..THREADS)
            .into_par_iter()
            .map(|_| (0..passes).map(|_| black_box(&words).iter().fold(0u64, |sum, word| sum ^ word)).sum::<u64>())
            .sum();
        black_box(sum);
        (THREADS * passes * words.len() * 8) as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}
