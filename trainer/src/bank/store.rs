//! Descriptors in a file, and the selection from their projections.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detector::Error;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};

use super::coreset::{Picked, Points, read_rows, select};
use crate::interrupt::{Interrupt, Stopped};
use crate::network::{normal, to_vec};
use crate::progress::Progress;
use crate::recipe::Bank;

/// A memory bank and how it was made.
pub struct Filled {
    /// `[len, dims]`, row-major.
    pub vectors: Vec<f32>,
    /// Values of one descriptor.
    pub dims: usize,
    /// Seconds that describing the images took.
    pub describe_seconds: f64,
    /// Seconds that the selection took.
    pub select_seconds: f64,
    /// Number of patches that the bank was selected from.
    pub patches: usize,
}

/// Descriptors in a file, and their projections in memory or in another file.
pub(super) struct Store {
    path: PathBuf,
    writer: BufWriter<File>,
    projected_path: PathBuf,
    projected: Projected,
    projection: Option<Tensor>,
    choice: (usize, u64),
    limit: usize,
    device: Device,
    dims: usize,
    pub(super) len: usize,
}

enum Projected {
    Memory(Vec<f32>),
    File(BufWriter<File>),
}

impl Store {
    pub(super) fn create(folder: &Path, choice: &Bank, seed: u64, device: Device) -> Result<Store> {
        let path = folder.join("patches.f32");
        let writer = BufWriter::with_capacity(1 << 20, create(&path)?);
        Ok(Store {
            path,
            writer,
            projected_path: folder.join("projected.f32"),
            projected: Projected::Memory(Vec::new()),
            projection: None,
            choice: (choice.projection, seed),
            limit: choice.memory_mib << 18,
            device,
            dims: 0,
            len: 0,
        })
    }

    /// Adds `[n, dims]` descriptors.
    pub(super) fn add(&mut self, described: &Tensor) -> Result<()> {
        let dims = described.size()[1] as usize;
        let projection = self.projection.get_or_insert_with(|| projection(dims, self.choice.0, self.choice.1));
        let projected = to_vec(&described.to_device(self.device).matmul(&projection.to_device(self.device)))?;
        let values = to_vec(described)?;
        if !values.iter().all(|value| value.is_finite()) {
            bail!(
                "the backbone's features are not finite numbers: its weights are damaged, or fine-tuning diverged; give other weights, \
                 or lower finetune.learning_rate"
            );
        }
        write_all(&mut self.writer, &self.path, &values)?;
        self.dims = dims;
        self.len += values.len() / dims;
        if let Projected::Memory(kept) = &mut self.projected {
            if kept.len() + projected.len() <= self.limit {
                kept.extend(projected);
                return Ok(());
            }
            log::info!("projected patches exceed bank.memory_mib: they go through a file, which is slower");
            let mut file = BufWriter::with_capacity(1 << 20, create(&self.projected_path)?);
            write_all(&mut file, &self.projected_path, kept)?;
            self.projected = Projected::File(file);
        }
        if let Projected::File(file) = &mut self.projected {
            write_all(file, &self.projected_path, &projected)?;
        }
        Ok(())
    }

    pub(super) fn select(
        mut self,
        choice: &Bank,
        kept: usize,
        seed: u64,
        describe_seconds: f64,
        interrupt: &Interrupt,
    ) -> Result<Filled> {
        self.writer.flush().map_err(Error::io(&self.path, "write"))?;
        let points = match self.projected {
            Projected::Memory(values) => Points::Memory(values),
            Projected::File(writer) => {
                writer.into_inner().map_err(|error| Error::io(&self.projected_path, "write")(error.into_error()))?;
                Points::File(File::open(&self.projected_path).map_err(Error::io(&self.projected_path, "open"))?)
            }
        };
        let share = kept + ((self.len - kept) as f64 * choice.share).round() as usize;
        let picks = choice.vectors.unwrap_or(share.max(choice.least).clamp(1, self.len.max(1)));
        let first = rand_chacha::ChaCha8Rng::seed_from_u64(seed).random_range(0..self.len.max(1));
        let projected_dims = choice.projection.min(self.dims);
        let mut progress = Progress::new("selecting the bank", picks);
        let picked = select(&points, projected_dims, self.len, picks, first, &self.projected_path, &mut |done| {
            progress.set(done);
            !interrupt.is_set()
        })?;
        let Picked::All(chosen) = picked else { return Err(Stopped.into()) };
        let file = File::open(&self.path).map_err(Error::io(&self.path, "open"))?;
        let mut vectors = Vec::with_capacity(picks * self.dims);
        for index in chosen {
            vectors.extend(read_rows(&file, &self.path, index, 1, self.dims)?);
        }
        let select_seconds = progress.finish();
        for path in [&self.path, &self.projected_path] {
            if path.exists() {
                std::fs::remove_file(path).with_context(|| format!("{}: cannot remove", path.display()))?;
            }
        }
        Ok(Filled { vectors, dims: self.dims, describe_seconds, select_seconds, patches: self.len })
    }
}

/// A Gaussian random projection `[dims, target]`, scaled to keep distances (Johnson & Lindenstrauss); the identity where `target` is
/// not less than `dims`.
fn projection(dims: usize, target: usize, seed: u64) -> Tensor {
    if target >= dims {
        return Tensor::eye(dims as i64, (Kind::Float, Device::Cpu));
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let scale = 1.0 / (target as f64).sqrt();
    let values: Vec<f32> = (0..dims * target).map(|_| (normal(&mut random) * scale) as f32).collect();
    Tensor::from_slice(&values).reshape([dims as i64, target as i64])
}

#[expect(clippy::disallowed_methods, reason = "descriptors on disk are scratch: an interrupted training makes them again")]
fn create(path: &Path) -> Result<File> {
    Ok(File::create(path).map_err(Error::io(path, "create"))?)
}

fn write_all(writer: &mut impl Write, path: &Path, values: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(writer.write_all(&bytes).map_err(Error::io(path, "write"))?)
}
