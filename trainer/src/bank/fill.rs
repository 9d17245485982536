//! From good images to the memory bank.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
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

/// What the memory bank is filled from.
pub struct Contents<'a> {
    /// Good images.
    pub images: &'a [PathBuf],
    /// The fold of each image, where a bank without each fold is wished too; otherwise empty.
    pub folds: &'a [usize],
    /// Vectors of an earlier bank, `[len, dims]` row-major, in place of the images that they were selected from: the new bank is selected
    /// from them and the new patches together.
    pub kept: &'a [f32],
}

/// Describes all patches of the good images and selects the memory bank. Descriptors go through a file in `folder`, so memory holds
/// only their projections, up to the recipe's limit.
///
/// # Errors
/// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when an image cannot be read, the disk is full, or there are too few
/// patches.
pub fn fill(
    describer: &Describer<'_>,
    contents: &Contents<'_>,
    choice: &Bank,
    seed: u64,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Filled> {
    let Contents { images, folds, kept } = *contents;
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
    // Rows of each image.
    let mut rows: Vec<Range<usize>> = Vec::with_capacity(images.len());
    data::ahead(0..batches, load, |batch, prepared| -> Result<()> {
        interrupt.check()?;
        let input: Vec<f32> = prepared.iter().flat_map(|prepared| describer.rule.normalise(&prepared.pixels)).collect();
        let layers = describer.layers(&input);
        let grid = (layers[0].size()[2] as usize, layers[0].size()[3] as usize);
        let described = no_grad(|| patches::describe(&layers)).to_device(Device::Cpu);
        let size = describer.rule.input();
        let mut inside: Vec<i64> = Vec::new();
        for (image, prepared) in prepared.iter().enumerate() {
            let start = store.len + inside.len();
            let places = Inside::new(grid, (size.height as usize, size.width as usize), prepared.content);
            inside.extend(places.indices().map(|i| (image * grid.0 * grid.1 + i) as i64));
            rows.push(start..store.len + inside.len());
        }
        store.add(&described.index_select(0, &Tensor::from_slice(&inside)))?;
        progress.set(((batch + 1) * BATCH).min(images.len()));
        Ok(())
    })?;
    let describe_seconds = progress.finish();
    let began = Instant::now();
    let stored = store.finish()?;
    let whole = stored.select((choice, kept, seed), interrupt)?;
    let vectors = stored.vectors(&whole)?;
    let count = folds.iter().max().map_or(0, |last| last + 1);
    let without = |fold: usize| -> Result<Vec<f32>> {
        if folds.iter().all(|of| *of == fold) {
            bail!("all good images are in one fold: add good images, or divide them into more groups in groups.csv");
        }
        let rows: Vec<_> = rows.iter().zip(folds).filter(|(_, of)| **of == fold).map(|(rows, _)| rows.clone()).collect();
        let title = format!("selecting without fold {} of {count}", fold + 1);
        stored.vectors(&stored.select_without(&whole, &rows, &title, interrupt)?)
    };
    let without_fold = (0..count).map(without).collect::<Result<_>>()?;
    drop(whole);
    let (dims, patches) = (stored.dims, stored.len);
    stored.remove()?;
    let select_seconds = began.elapsed().as_secs_f64();
    Ok(Filled { vectors, without_fold, dims, describe_seconds, select_seconds, patches })
}
