//! Distances and logits of good images and anomalous samples, by what has not learned from them.

use std::path::PathBuf;

use anyhow::Result;
use detector::preprocess::Prepared;
use detector::scorer::{Inside, Terms};
use tch::{Tensor, no_grad};

use crate::data;
use crate::defects::Head;
use crate::describer::Describer;
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::methods::Learned;
use crate::network::{to_vec, upload};
use crate::patches::{self, Bank};
use crate::progress::Progress;

/// Terms of images; their logits begin at no value yet.
pub struct Scored {
    /// Of the good images that the threshold comes from, by a bank and a head that have not learned from them.
    pub unseen: Vec<Terms>,
    /// Of the same images, by the run's bank and heads; empty where the images are held out: then nothing has learned from them.
    pub seen: Vec<Terms>,
    /// Of the anomalous samples, each by the head that has not learned from it; empty without such heads.
    pub anomalous: Vec<Terms>,
}

/// Describes all these images.
///
/// # Errors
/// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when an image cannot be read.
pub fn describe(lesson: &Lesson<'_>, learned: &Learned, interrupt: &Interrupt) -> Result<Scored> {
    let network = learned.backbone.network()?;
    let parameters = upload(&network, &learned.weights, lesson.device)?;
    let (describer, head) = (lesson.describer(&network, &parameters), learned.head.as_ref());
    let bank = |vectors: &[f32]| Bank::new(vectors, learned.bank.dims, lesson.device);
    let whole = bank(&learned.bank.vectors);
    let without: Vec<Bank> = learned.bank.without_fold.iter().map(|vectors| bank(vectors)).collect();
    let selection = &lesson.selection;
    let (images, folds) = (selection.for_threshold(), selection.folds());
    let samples: &[_] = if head.is_some() && lesson.leaves_out_anomalous() { &selection.anomalous } else { &[] };
    let paths: Vec<&PathBuf> = images.iter().chain(samples.iter().map(|sample| &sample.path)).collect();
    let mut progress = Progress::new("scoring good images", paths.len());
    let mut scored = Scored { unseen: Vec::new(), seen: Vec::new(), anomalous: Vec::new() };
    let load = |place: usize| data::prepare(paths[place], &lesson.rule);
    data::ahead(0..paths.len(), load, |place, prepared| -> Result<()> {
        interrupt.check()?;
        let image = Described::new(&describer, head, prepared)?;
        let terms = |bank: &Bank, head: Option<usize>| image.terms(bank, head, lesson);
        match place.checked_sub(images.len()) {
            Some(sample) => scored.anomalous.push(terms(&whole, Some(lesson.fold_of_anomalous(sample)))?),
            None if selection.leaves_out_folds() => {
                let fold = folds[place];
                scored.unseen.push(terms(&without[fold], head.map(|_| fold))?);
                scored.seen.push(terms(&whole, None)?);
            }
            None => scored.unseen.push(terms(&whole, None)?),
        }
        progress.set(place + 1);
        Ok(())
    })?;
    progress.finish();
    Ok(scored)
}

/// One image as the network and the heads see it.
struct Described {
    /// `[patches, dims]`
    patches: Tensor,
    /// `[patches, heads]`
    logits: Option<Tensor>,
    grid: (usize, usize),
    inside: Inside,
}

impl Described {
    fn new(describer: &Describer<'_>, head: Option<&Head>, prepared: Prepared) -> Result<Described> {
        let layers = describer.layers(&describer.rule.normalise(&prepared.pixels));
        let (size, input) = (layers[0].size(), describer.rule.input());
        let grid = (size[2] as usize, size[3] as usize);
        let inside = Inside::new(grid, (input.height as usize, input.width as usize), prepared.content);
        let patches = no_grad(|| patches::describe(&layers));
        let logits = head.map(|head| no_grad(|| head.logits(&patches)));
        Ok(Described { patches, logits, grid, inside })
    }

    /// By one of the heads, or by the mean of all.
    fn terms(&self, bank: &Bank, head: Option<usize>, lesson: &Lesson<'_>) -> Result<Terms> {
        let distances = to_vec(&no_grad(|| bank.nearest(&self.patches)))?;
        let logits = match (&self.logits, head) {
            (None, _) => Vec::new(),
            (Some(logits), Some(head)) => to_vec(&logits.select(1, head as i64))?,
            (Some(logits), None) => to_vec(&logits.mean_dim([1i64].as_slice(), false, tch::Kind::Float))?,
        };
        Ok(Terms::new(distances, logits, (self.grid, self.inside.clone()), lesson.recipe.smoothing)?)
    }
}
