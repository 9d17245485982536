//! The detectors of all products and cameras: in memory and tested before the first part, so that a switch of the product loads nothing.

use verdict::{JudgedBy, Reason, ScoredVerdict, Ticket};
use std::path::{Path, PathBuf};

use detector::bundle::Bundle;
use detector::calibration::is_anomalous;
use detector::picture::Picture;
use detector::scorer::{Features, Scored};
use detector::{Detector, Error, Result};
use image::imageops;

use config::Config;
use detector::preprocess::Rect;
use store::models;
use store::models::ModelError;
use store::site;
use store::site::SiteError;

/// What is judged by what: for each product and each view.
#[derive(Clone, Debug)]
pub struct Products {
    views: Vec<String>,
    /// Without products, one without a name.
    products: Vec<String>,
    /// Product by product, all views of each.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Place among the detectors.
    detector: usize,
    region: Option<Region>,
    threshold: f32,
    /// Who says so, and what the bundle says.
    told: String,
    bundle: String,
}

/// Every bundle that a configuration names, each once.
pub fn bundles(config: &Config) -> Vec<PathBuf> {
    let mut bundles = Vec::new();
    for (product, view) in pairs(config) {
        let bundle = config.product(product, view).bundle;
        if !bundles.contains(&bundle) {
            bundles.push(bundle);
        }
    }
    bundles
}

/// Every product with every view, in the order of [`Products`].
pub fn pairs(config: &Config) -> Vec<(&str, &str)> {
    let views = config.view_names();
    config
        .product_names()
        .into_iter()
        .flat_map(|product| views.iter().map(move |view| (product, *view)).collect::<Vec<_>>())
        .collect()
}

impl Products {
    /// Joins a configuration with the detectors of its [`bundles`], in that order. A threshold of the configuration goes before that of the
    /// site, and that before the bundle's.
    ///
    /// # Errors
    /// When a camera was calibrated for something else than what it would judge.
    pub fn of(config: &Config, detectors: &[Detector]) -> std::result::Result<Products, SiteError> {
        let bundles = bundles(config);
        let entry = |(product, view): (&str, &str)| {
            let product = config.product(product, view);
            let detector = bundles.iter().position(|bundle| *bundle == product.bundle).unwrap_or(0);
            let own = detectors[detector].calibration.threshold;
            let (threshold, whose) = match product.threshold {
                Some(threshold) => (threshold, "of the configuration".to_owned()),
                None => match site::of(config, &detectors[detector], view, product)? {
                    Some(site) => (site.calibration.threshold, format!("of this site, by {}", site.by)),
                    None => (own, "of the bundle".to_owned()),
                },
            };
            let product_of = if product.is_empty() { String::new() } else { format!(" of {recipe}") };
            let told = format!("{view}{product_of}: threshold {threshold:.4} {whose}; the bundle's is {own:.4}");
            let bundle = detectors[detector].bundle.clone();
            Ok(Entry { detector, region: product.region, threshold, told, bundle })
        };
        Ok(Products {
            views: config.view_names().into_iter().map(str::to_owned).collect(),
            products: config.product_names().into_iter().map(str::to_owned).collect(),
            entries: pairs(config).into_iter().map(entry).collect::<std::result::Result<_, SiteError>>()?,
        })
    }

    /// Whose thresholds judge, a line for each view of each product.
    pub fn thresholds(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.told.as_str())
    }

    /// The detectors that judge a part of this product, one for each view.
    pub fn detectors(&self, product: usize) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().skip(product * self.views.len()).take(self.views.len()).map(|entry| entry.detector)
    }

    /// A product's name; empty on a line without products.
    pub fn product(&self, product: usize) -> &str {
        self.products.get(product).map_or("", String::as_str)
    }

    /// By what a frame is judged.
    pub fn judged_by(&self, ticket: &Ticket) -> JudgedBy<'_> {
        let view = self.views.get(ticket.view).map_or("", String::as_str);
        let has_recipes = self.products.iter().any(|name| !name.is_empty());
        let product = has_recipes.then(|| ticket.product.map(|product| self.product(product)));
        let entry = self.entry(ticket);
        JudgedBy { view, product, threshold: entry.map(|entry| entry.threshold), bundle: entry.map(|entry| entry.bundle.as_str()) }
    }

    fn entry(&self, ticket: &Ticket) -> Option<&Entry> {
        self.entries.get(ticket.product? * self.views.len() + ticket.view)
    }
}

/// What the first half of a detector has seen of a frame, or why nothing.
pub type Seen = std::result::Result<Features, Judgement>;

/// Both halves of what judges the frames of all views, each by its product's detector; `detectors` are those that the products were made
/// of. They may work at the same time, on one frame after another. Every failure is an `unknown` that says why.
pub fn halves<'a>(
    products: &'a Products,
    detectors: &'a mut [Detector],
) -> (impl FnMut(&Ticket, &Picture) -> Seen + Send + 'a, impl FnMut(&Ticket, Seen) -> Judgement + Send + 'a) {
    let unknown = |detail: String| Judgement::Unknown { reason: Reason::ScoringFailed, detail };
    let (mut looks, mut judges): (Vec<_>, Vec<_>) = detectors.iter_mut().map(Detector::stages).unzip();
    let look = move |ticket: &Ticket, picture: &Picture| {
        let entry = products.entry(ticket).ok_or_else(|| unknown("it is of no recipe".into()))?;
        let look = looks.get_mut(entry.detector).ok_or_else(|| unknown("it has no detector".into()))?;
        let looked = match entry.region {
            None => look.extract(picture),
            Some(region) => cropped(picture, region).and_then(|picture| look.extract(&picture)),
        };
        looked.map_err(|error| unknown(error.to_string()))
    };
    let judge = move |ticket: &Ticket, seen: Seen| {
        let judged = seen.and_then(|looked| {
            let entry = products.entry(ticket).ok_or_else(|| unknown("it is of no recipe".into()))?;
            let judge = judges.get_mut(entry.detector).ok_or_else(|| unknown("it has no detector".into()))?;
            match judge.score(looked.with_threshold(entry.threshold)) {
                Ok(scored) if scored.score.is_finite() => {
                    Ok(Judgement::Scored { score: scored.score, anomalous: is_anomalous(scored.score, entry.threshold) })
                }
                Ok(scored) => Err(unknown(format!("its score is {}", scored.score))),
                Err(error) => Err(unknown(error.to_string())),
            }
        });
        judged.unwrap_or_else(|unknown| unknown)
    };
    (look, judge)
}

/// Scores the part of a picture that a product's detector gets.
///
/// # Errors
/// When that part does not lie in the picture, or the detector fails.
pub fn score(detector: &mut Detector, region: Option<Region>, picture: &Picture) -> Result<Scored> {
    match region {
        None => detector.score(picture),
        Some(region) => detector.score(&cropped(picture, region)?),
    }
}

/// The part of a picture that a detector gets.
fn cropped(picture: &Picture, region @ [left, top, width, height]: Region) -> Result<Picture> {
    let (columns, rows) = picture.pixels.dimensions();
    let fits = |from: u32, length: u32, side: u32| from.checked_add(length).is_some_and(|end| end <= side);
    if !(fits(left, width, columns) && fits(top, height, rows)) {
        return Err(Error::invalid(format!("the region {region:?} does not lie in the picture of {columns}x{rows}")));
    }
    Ok(Picture { pixels: imageops::crop_imm(&picture.pixels, left, top, width, height).to_image(), colour: picture.colour })
}

/// Reads a bundle, which verifies it, and starts its detector, which tests it.
///
/// # Errors
/// When the bundle is damaged, or no engine passes its self-test.
pub fn start(path: &Path, config: &Config) -> std::result::Result<(Bundle, Detector), ModelError> {
    let bundle = models::read_bundle(path, &config.runtime.state)?;
    let detector = Detector::start(&bundle, &config.setup())?;
    Ok((bundle, detector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::picture::Colour;
    use image::{Rgb, RgbImage};

    #[test]
    fn regions_are_cut_out_and_must_fit() {
        let picture = Picture { pixels: RgbImage::from_fn(8, 6, |x, y| Rgb([x as u8, y as u8, 0])), colour: Colour::Rgb };
        let part = cropped(&picture, [2, 1, 4, 5]).unwrap();
        assert_eq!((part.pixels.dimensions(), part.pixels.get_pixel(0, 0).0), ((4, 5), [2, 1, 0]));
        for outside in [[5, 0, 4, 1], [0, 6, 1, 1], [u32::MAX, 0, 2, 2]] {
            assert!(cropped(&picture, outside).unwrap_err().to_string().contains("8x6"));
        }
    }

    #[test]
    fn each_bundle_is_loaded_once() {
        let text = "[detector]\nbundle = \"a\"\n[source.replay]\nimages = []\n[line]\ndelay_ms = 100\n[line.product]\nsocket = \"s\"\n\
                    start = \"x\"\n[views.side]\nbundle = \"side\"\nsource.replay.images = []\n[products.x]\n[products.y]\nbundle = \"b\"\n\
                    [products.z]\nthreshold = 2.0\nviews.side.bundle = \"b\"\n";
        let config = Config::parse(Path::new("line.toml"), text).unwrap();
        assert_eq!(bundles(&config), ["a", "side", "b"].map(PathBuf::from));
        assert_eq!(pairs(&config), [("x", "main"), ("x", "side"), ("y", "main"), ("y", "side"), ("z", "main"), ("z", "side")]);
    }
}
