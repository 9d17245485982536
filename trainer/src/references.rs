//! Pictures with libtorch's results, for the exporter's parity gate.

use std::path::Path;

use anyhow::{Context, Result};
use detector::network::Output;
use detector::preprocess::{Prepared, Preprocess, Rect};
use detector::run::{Reference, ReferenceKind, StoredPicture};
use detector::scorer::{Inside, KnownDefects, MapShare, ScoreRule};
use detector::tensors::Tensors;
use image::RgbImage;
use rand::{Rng, SeedableRng};
use tch::{Device, Tensor, no_grad};

use crate::describer::Describer;
use crate::network::to_vec;
use crate::split::Selection;
use crate::{data, patches};

/// Number of references of each kind.
const EACH: usize = 6;

/// Saves pictures and libtorch's feature maps, score maps and scores for them under `folder`.
///
/// # Errors
/// When an image cannot be read or a file not written.
pub fn make(
    describer: &Describer<'_>,
    selection: &Selection,
    bank: &[f32],
    score_rule: &ScoreRule,
    seed: u64,
    folder: &Path,
) -> Result<Vec<Reference>> {
    let rule = describer.rule;
    let pictures = pictures(selection, rule, seed)?;
    let mut results = Tensors::default();
    let mut references = Vec::new();
    for (index, (kind, prepared)) in pictures.iter().enumerate() {
        let maps = describer.layers(&rule.normalise(&prepared.pixels));
        for (Output { layer, .. }, map) in describer.network.results().zip(&maps) {
            let shape: Vec<usize> = map.size()[1..].iter().map(|size| *size as usize).collect();
            results.insert(format!("{index:03}.{layer}"), shape, to_vec(map)?);
        }
        let (layers, logits) = maps.split_at(describer.network.outputs.len());
        let dims: i64 = layers.iter().map(|map| map.size()[1]).sum();
        let bank = Tensor::from_slice(bank).reshape([-1, dims]);
        let maps = (layers, logits.first());
        let (score, map) = no_grad(|| score(maps, &bank, prepared.content, rule.input().into(), score_rule))?;
        let [height, width]: [u32; 2] = rule.input().into();
        results.insert(format!("{index:03}.map"), [height as usize, width as usize], to_vec(&map)?);
        let picture = store(prepared, folder, "reference", index)?;
        references.push(Reference { picture, kind: *kind, score });
    }
    results.write(&folder.join("reference.safetensors"))?;
    Ok(references)
}

/// Good and anomalous images, as the network sees them, and pictures of noise to make up the number.
fn pictures(selection: &Selection, rule: &Preprocess, seed: u64) -> Result<Vec<(ReferenceKind, Prepared)>> {
    let anomalous = selection.anomalous.iter().chain(selection.test.iter().filter(|sample| sample.is_anomalous()));
    let mut pictures = Vec::new();
    for path in selection.for_threshold().iter().take(EACH) {
        pictures.push((ReferenceKind::Good, data::prepare(path, rule)?));
    }
    for sample in anomalous.take(EACH) {
        pictures.push((ReferenceKind::Anomalous, data::prepare(&sample.path, rule)?));
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    while pictures.len() < 3 * EACH {
        let size = rule.input();
        let pixels = RgbImage::from_fn(size.width, size.height, |_, _| image::Rgb(random.random()));
        let content = Rect { x: 0, y: 0, width: size.width, height: size.height };
        pictures.push((ReferenceKind::Noise, Prepared { pixels, content }));
    }
    Ok(pictures)
}

/// Score and score map of one image, computed by libtorch from the network's layers and the defect head's logits.
fn score(
    (maps, logits): (&[Tensor], Option<&Tensor>),
    bank: &Tensor,
    content: Rect,
    input: [u32; 2],
    ScoreRule { smoothing, defects, places }: &ScoreRule,
) -> Result<(f32, Tensor)> {
    let distances = patches::nearest(&patches::describe(maps).to_device(Device::Cpu), bank);
    let grid = (maps[0].size()[2], maps[0].size()[3]);
    let inside = Inside::new((grid.0 as usize, grid.1 as usize), (input[0] as usize, input[1] as usize), content);
    let indices: Vec<i64> = inside.indices().map(|i| i as i64).collect();
    let (first, last) = (indices[0], indices[indices.len() - 1]);
    let mut distances = distances.reshape([grid.0, grid.1]);
    let mut seen = distances.narrow(0, first / grid.1, (last - first) / grid.1 + 1).narrow(
        1,
        first % grid.1,
        last % grid.1 - first % grid.1 + 1,
    );
    let side = smoothing.neighbourhood as i64;
    let means = seen.unsqueeze(0).avg_pool2d([side; 2], [1, 1], [side / 2; 2], false, false, None).squeeze_dim(0);
    seen.copy_(&means);
    let mut judged = distances.copy();
    if let Some((logits, KnownDefects { weight, map })) = logits.zip(*defects) {
        let logits = logits.to_device(Device::Cpu).reshape([grid.0, grid.1]);
        judged += logits.softplus() * f64::from(weight);
        let MapShare { weight, lead, offset } = map.unwrap_or(MapShare { weight, lead: 0.0, offset: 0.0 });
        distances += (logits + f64::from(lead)).softplus() * f64::from(weight) - f64::from(offset);
    }
    if let Some(places) = places {
        judged -= Tensor::from_slice(places.distances()).reshape([grid.0, grid.1]);
    }
    let score = judged.flatten(0, 1).index_select(0, &Tensor::from_slice(&indices)).max();
    // A patch in the padding takes the value of the nearest patch inside.
    let clamp =
        |length: i64, least: i64, most: i64| Tensor::from_slice(&(0..length).map(|i| i.clamp(least, most)).collect::<Vec<_>>());
    let rows = clamp(grid.0, first / grid.1, last / grid.1);
    let columns = clamp(grid.1, first % grid.1, last % grid.1);
    let extended = distances.index_select(0, &rows).index_select(1, &columns);
    let map = patches::map(&extended, (i64::from(input[0]), i64::from(input[1])), f64::from(smoothing.sigma));
    Ok((f32::try_from(&score)?, map))
}

/// Saves a network-size picture as `KIND/NNN.png` in the run.
///
/// # Errors
/// When it cannot be written.
pub fn store(prepared: &Prepared, run: &Path, kind: &str, index: usize) -> Result<StoredPicture> {
    let folder = run.join(kind);
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    let file = format!("{kind}/{index:03}.png");
    let path = run.join(&file);
    prepared.pixels.save(&path).with_context(|| format!("{}: cannot write", path.display()))?;
    Ok(StoredPicture { file, content: prepared.content, image: None })
}
