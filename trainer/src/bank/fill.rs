//! From good images to the memory bank.

use std::path::{Path, PathBuf};

use anyhow::Result;
use detector::scorer::Inside;
use rayon::prelude::*;
use tch::{Device, Tensor, no_grad};

use super::store::{Filled, Store};
use crate::describer::Describer;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::recipe::Bank;
use crate::{data, patches};

/// Images that go through the network together.
const BATCH: usize = 8;

/// Describes all patches of the good images and selects the memory bank. Descriptors go through a file in `folder`, so memory holds
/// only their projections, up to the recipe's limit. `kept` are the vectors of an earlier bank, `[len, dims]` row-major, in place of
/// the images that they were selected from: the new bank is selected from them and the new patches together.
///
/// # Errors
/// [`Stopped`] when interrupted, or when an image cannot be read, the disk is full, or there are too few patches.
pub fn fill(
    describer: &Describer<'_>,
    (images, kept): (&[PathBuf], &[f32]),
    choice: &Bank,
    seed: u64,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Filled> {
    let mut store = Store::create(folder, choice, seed, describer.device)?;
    if !kept.is_empty() {
        let dims: usize = describer.network.outputs.iter().map(|output| output.channels).sum();
        store.add(&Tensor::from_slice(kept).reshape([-1, dims as i64]))?;
    }
    let kept = store.len;
    let mut progress = Progress::new("describing patches", images.len());
    let batches = images.len().div_ceil(BATCH);
    let load = |batch: usize| {
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
