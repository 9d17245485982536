//! Descriptors in a file, and the selections from their projections.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detector::Error;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};

use super::coreset::{Coreset, Points, Values, read_rows};
use crate::interrupt::{Interrupt, Stopped};
use crate::network::{normal, to_vec};
use crate::progress::Progress;
use crate::recipe::Bank;

/// A memory bank and how it was made.
pub struct Filled {
    /// `[len, dims]`, row-major.
    pub vectors: Vec<f32>,
    /// For each fold of the images, the bank of the other folds, like `vectors`; empty where none was wished.
    pub without_fold: Vec<Vec<f32>>,
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

    /// Ends the adding.
    pub(super) fn finish(mut self) -> Result<Stored> {
        self.writer.flush().map_err(Error::io(&self.path, "write"))?;
        let values = match self.projected {
            Projected::Memory(values) => Values::Memory(values),
            Projected::File(writer) => {
                writer.into_inner().map_err(|error| Error::io(&self.projected_path, "write")(error.into_error()))?;
                let file = File::open(&self.projected_path).map_err(Error::io(&self.projected_path, "open"))?;
                Values::File(file, self.projected_path)
            }
        };
        let file = File::open(&self.path).map_err(Error::io(&self.path, "open"))?;
        let (dims, len) = (self.dims, self.len);
        let points = Points { values, len, dims: self.choice.0.min(dims) };
        Ok(Stored { path: self.path, file, points, dims, len })
    }
}

/// All descriptors, ready for selections.
pub(super) struct Stored {
    path: PathBuf,
    file: File,
    points: Points,
    pub(super) dims: usize,
    pub(super) len: usize,
}

impl Stored {
    /// Selects a bank from all rows. The first `kept` rows are those of an earlier bank, of which a share keeps all.
    pub(super) fn select(&self, (choice, kept, seed): (&Bank, usize, u64), interrupt: &Interrupt) -> Result<Coreset<'_>> {
        let share = kept + ((self.len - kept) as f64 * choice.share).round() as usize;
        let picks = choice.vectors.unwrap_or_else(|| share.max(choice.least).clamp(1, self.len.max(1)));
        let first = rand_chacha::ChaCha8Rng::seed_from_u64(seed).random_range(0..self.len.max(1));
        self.grown(Coreset::new(&self.points), (picks, first), "selecting the bank", interrupt)
    }

    /// The bank that is selected without these rows: what is left of the whole bank grows to as many vectors again.
    pub(super) fn select_without<'s>(
        &'s self,
        whole: &Coreset<'s>,
        rows: &[Range<usize>],
        title: &str,
        interrupt: &Interrupt,
    ) -> Result<Coreset<'s>> {
        let left = self.len - rows.iter().map(Range::len).sum::<usize>();
        let first = (0..self.len).find(|row| !rows.iter().any(|range| range.contains(row))).unwrap_or(0);
        let part = whole.without(rows)?;
        self.grown(part, (whole.chosen().len().min(left), first), title, interrupt)
    }

    fn grown<'s>(
        &'s self,
        mut coreset: Coreset<'s>,
        (picks, first): (usize, usize),
        title: &str,
        interrupt: &Interrupt,
    ) -> Result<Coreset<'s>> {
        let mut progress = Progress::new(title, picks);
        let finished = coreset.grow(picks, first, &mut |done| {
            progress.set(done);
            !interrupt.is_set()
        })?;
        progress.finish();
        if finished { Ok(coreset) } else { Err(Stopped.into()) }
    }

    /// The descriptors of a selection, `[len, dims]` row-major.
    pub(super) fn vectors(&self, coreset: &Coreset<'_>) -> Result<Vec<f32>> {
        let read = |row: &usize| Ok(read_rows(&self.file, &self.path, *row, 1, self.dims)?);
        Ok(coreset.chosen().iter().map(read).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Removes the files.
    pub(super) fn remove(self) -> Result<()> {
        let projected = match &self.points.values {
            Values::File(_, path) => Some(path),
            Values::Memory(_) => None,
        };
        for path in std::iter::once(&self.path).chain(projected) {
            std::fs::remove_file(path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
        Ok(())
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
