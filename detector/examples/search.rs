//! The search alone, on request, for `cargo xtask bench peers`: `search BANK.safetensors QUERIES.safetensors NEAREST.json`.
//!
//! Reads the float bank of a run and `queries [n, dims]`, writes the indices of their nearest vectors to NEAREST.json and prints "ready".
//! Then, for each line with a frame's number on standard input, it searches for that frame's patches and prints the milliseconds.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use detector::bank::{MemoryBank, Quantisation};
use detector::placement;
use detector::tensors::Tensors;

/// Patches of a 256-pixel frame.
const PATCHES: usize = SIDE * SIDE;
const SIDE: usize = 32;
const THREADS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, bank, queries, nearest] = &arguments[..] else {
        return Err("expected three files: BANK.safetensors QUERIES.safetensors NEAREST.json".into());
    };
    placement::pool(THREADS).build_global()?;
    let (vectors, dims) = rows(bank, "vectors")?;
    let bank = MemoryBank::new(&vectors, dims, Quantisation::Int8)?;
    let (queries, _) = rows(queries, "queries")?;
    let found: Vec<u32> = bank.nearest(&queries, SIDE)?.iter().map(|found| found.index).collect();
    #[expect(clippy::disallowed_methods, reason = "a bench reads the file at once and never again")]
    fs::write(nearest, serde_json::to_vec(&found)?)?;
    println!("ready");
    let frames: Vec<&[f32]> = queries.chunks_exact(PATCHES * dims).collect();
    for line in stdin().lock().lines() {
        let frame = frames[line?.parse::<usize>()? % frames.len()];
        let start = Instant::now();
        bank.nearest(frame, SIDE)?;
        println!("{}", start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// A tensor `[n, dims]` of a file, and its dims.
fn rows(file: &str, name: &str) -> Result<(Vec<f32>, usize), Box<dyn Error>> {
    let tensors = Tensors::read(Path::new(file))?;
    let shape = tensors.tensors.get(name).ok_or_else(|| format!("{file} holds no tensor {name}"))?.shape.clone();
    let [_, dims] = shape[..] else { return Err(format!("{file}: {name} must have two axes").into()) };
    Ok((tensors.f32(name, &shape)?.to_vec(), dims))
}
