//! Descriptors of many images, on disk, and the selection of the memory bank from them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detector::Error;
use detector::network::Network;
use detector::preprocess::Preprocess;
use detector::scorer::Inside;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor, no_grad};

use crate::coreset::{Picked, Points, read_rows, select};
use crate::interrupt::{Interrupt, Stopped};
use crate::network::{Named, Norms, forward, normal, to_vec};
use crate::progress::Progress;
use crate::recipe::Bank;
use crate::{data, patches};

/// Images that go through the network together.
const BATCH: usize = 8;

/// A backbone ready to describe images.
pub struct Describer<'a> {
    /// The description.
    pub network: &'a Network,
    /// Its parameters, on `device`.
    pub parameters: &'a Named,
    /// From file to network input.
    pub rule: &'a Preprocess,
    /// Where it runs.
    pub device: Device,
}

impl Describer<'_> {
    /// The network's results `[batch, channels, height, width]` for normalised images, one after the other in `images`.
    pub fn layers(&self, images: &[f32]) -> Vec<Tensor> {
        forward(self.network, self.parameters, &self.upload(images), Norms::Frozen)
    }

    /// Normalised images as `[batch, 3, height, width]` on the device.
    pub fn upload(&self, images: &[f32]) -> Tensor {
        let size = self.rule.input();
        let input = Tensor::from_slice(images).reshape([-1, 3, i64::from(size.height), i64::from(size.width)]);
        input.to_device(self.device)
    }
}

/// The selected patches.
pub struct Coreset {
    /// `[len, dims]`, row-major.
    pub vectors: Vec<f32>,
    /// Values of one descriptor.
    pub dims: usize,
    /// Seconds that describing took.
    pub describe_seconds: f64,
    /// Seconds that the selection took.
    pub select_seconds: f64,
    /// Patches that were selected from.
    pub patches: usize,
}

/// Describes all patches of the good images and selects the memory bank. Descriptors go through a file in `folder`, so memory holds
/// only their projections, and those only up to the recipe's limit. `kept` are vectors of an earlier bank, `[len, dims]`: they stand
/// for the images that they were selected from, and the new bank is selected from them and the new patches together.
///
/// # Errors
/// [`Stopped`] when interrupted, or when an image cannot be read, the disk is full, or there are too few patches.
pub fn coreset(
    describer: &Describer<'_>,
    (images, kept): (&[PathBuf], &[f32]),
    choice: &Bank,
    seed: u64,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Coreset> {
    let mut store = Store::create(folder, choice, seed, describer.device)?;
    if !kept.is_empty() {
        let dims: usize = describer.network.outputs.iter().map(|output| output.channels).sum();
        store.add(&Tensor::from_slice(kept).reshape([-1, dims as i64]))?;
    }
    let kept = store.len;
    let mut progress = Progress::new("describing patches", images.len());
    let batches = images.len().div_ceil(BATCH);
    let load = |batch: usize| {
        use rayon::prelude::*;
        let paths = &images[batch * BATCH..((batch + 1) * BATCH).min(images.len())];
        paths.par_iter().map(|path| data::prepare(path, describer.rule)).collect::<detector::Result<Vec<_>>>()
    };
    data::ahead(0..batches, load, |batch, prepared| -> Result<()> {
        interrupt.check()?;
        let input: Vec<f32> = prepared.iter().flat_map(|prepared| describer.rule.normalise(&prepared.pixels)).collect();
        let layers = describer.layers(&input);
        let grid = (layers[0].size()[2] as usize, layers[0].size()[3] as usize);
        let described = no_grad(|| patches::describe(&layers)).to_device(Device::Cpu);
        let size = describer.rule.input();
        let inside: Vec<i64> = prepared
            .iter()
            .enumerate()
            .flat_map(|(image, prepared)| {
                let inside = Inside::new(grid, (size.height as usize, size.width as usize), prepared.content);
                inside.indices().map(|i| (image * grid.0 * grid.1 + i) as i64).collect::<Vec<_>>()
            })
            .collect();
        store.add(&described.index_select(0, &Tensor::from_slice(&inside)))?;
        progress.set(((batch + 1) * BATCH).min(images.len()));
        Ok(())
    })?;
    let describe_seconds = progress.finish();
    store.select(choice, kept, seed, describe_seconds, interrupt)
}

/// Descriptors in a file, and their projections in memory or in another file.
struct Store {
    path: PathBuf,
    writer: BufWriter<File>,
    projected_path: PathBuf,
    projected: Projected,
    projection: Option<Tensor>,
    choice: (usize, u64),
    limit: usize,
    device: Device,
    dims: usize,
    len: usize,
}

enum Projected {
    Memory(Vec<f32>),
    File(BufWriter<File>),
}

impl Store {
    fn create(folder: &Path, choice: &Bank, seed: u64, device: Device) -> Result<Store> {
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
    fn add(&mut self, described: &Tensor) -> Result<()> {
        let dims = described.size()[1] as usize;
        let projection = self.projection.get_or_insert_with(|| projection(dims, self.choice.0, self.choice.1));
        let projected = to_vec(&described.to_device(self.device).matmul(&projection.to_device(self.device)))?;
        let values = to_vec(described)?;
        if !values.iter().all(|value| value.is_finite()) {
            bail!("the backbone gives values that are not finite numbers: its weights are damaged, or training diverged");
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

    fn select(mut self, choice: &Bank, kept: usize, seed: u64, describe_seconds: f64, interrupt: &Interrupt) -> Result<Coreset> {
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
        Ok(Coreset { vectors, dims: self.dims, describe_seconds, select_seconds, patches: self.len })
    }
}

/// A Gaussian random projection `[dims, target]`, scaled to keep distances (Johnson & Lindenstrauss); the identity where it would not
/// make vectors shorter.
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
