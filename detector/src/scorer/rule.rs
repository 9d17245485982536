//! From distances and logits to a score: the rule of a detector, and what it is applied to.

use std::sync::Arc;

use super::defects::KnownDefects;
use super::inside::Inside;
use super::places::Places;
use crate::map::Smoothing;
use crate::{Error, Result};

/// How the distances of patches and the logits of the defect head become the image's score and its map.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRule {
    /// Means over neighbouring patches, and the map's blur.
    pub smoothing: Smoothing,
    /// How the logits count; none without a defect head.
    pub defects: Option<KnownDefects>,
    /// What good images have at each place, if that does not count.
    pub places: Option<Arc<Places>>,
}

impl ScoreRule {
    /// The largest score of a patch: its distance less what good images have at its place, and the share of known defects.
    ///
    /// # Errors
    /// When `terms` are not of the form that this rule is for.
    pub fn score(&self, terms: &Terms) -> Result<f32> {
        let shares = self.shares(terms, KnownDefects::share)?;
        let off = match &self.places {
            Some(places) if places.grid() != terms.grid => {
                let ((rows, columns), found) = (places.grid(), terms.grid);
                let problem =
                    format!("the network gives {} x {} patches, the detector knows {rows} x {columns} places", found.0, found.1);
                return Err(Error::invalid(problem));
            }
            Some(places) => places.distances(),
            None => &[],
        };
        let value = |patch: usize| terms.distances[patch] - off.get(patch).unwrap_or(&0.0) + shares.get(patch).unwrap_or(&0.0);
        Ok(terms.inside.indices().map(value).fold(f32::NEG_INFINITY, f32::max))
    }

    /// The patch scores that the map shows.
    ///
    /// # Errors
    /// When `terms` are not of the form that this rule is for.
    pub fn patches(&self, terms: &Terms) -> Result<Vec<f32>> {
        let shares = self.shares(terms, KnownDefects::share_of_map)?;
        let mut patches = terms.distances.clone();
        patches.iter_mut().zip(&shares).for_each(|(patch, share)| *patch += share);
        terms.inside.extend(&mut patches);
        Ok(patches)
    }

    /// The share of known defects in each patch; empty without a defect head.
    fn shares(&self, Terms { logits, distances, .. }: &Terms, share: fn(KnownDefects, f32) -> f32) -> Result<Vec<f32>> {
        match self.defects {
            None => Ok(Vec::new()),
            Some(defects) if logits.len() == distances.len() => Ok(logits.iter().map(|logit| share(defects, *logit)).collect()),
            Some(_) => {
                let (found, expected) = (logits.len(), distances.len());
                Err(Error::invalid(format!("the network gives {found} defect logits for {expected} patches")))
            }
        }
    }
}

/// Distances and logits of the patches of one image: what a [`ScoreRule`] is applied to.
pub struct Terms {
    /// Rows and columns of the patches.
    pub grid: (usize, usize),
    /// The patches that show the picture.
    pub inside: Inside,
    /// Distances to the memory bank, row-major, means over their neighbourhood.
    pub distances: Vec<f32>,
    /// Logits of the defect head, row-major; empty without one.
    pub logits: Vec<f32>,
}

impl Terms {
    /// Smooths the distances of a patch grid (rows, columns).
    ///
    /// # Errors
    /// When a value is not a finite number.
    pub fn new(
        distances: Vec<f32>,
        logits: Vec<f32>,
        (grid, inside): ((usize, usize), Inside),
        smoothing: Smoothing,
    ) -> Result<Terms> {
        // Half precision may overflow. A comparison with NaN is false: the part would count as good.
        if distances.iter().chain(&logits).any(|value| !value.is_finite()) {
            return Err(Error::invalid("the network gives values that are no finite numbers; no verdict may come from them"));
        }
        let distances = match smoothing.neighbourhood {
            0 | 1 => distances,
            side => inside.means(&distances, side / 2),
        };
        Ok(Terms { grid, inside, distances, logits })
    }
}
