//! For each seat the detector, region and threshold that judge its frames.

use std::path::PathBuf;

use config::{Config, SeatId};
use detector::Detector;
use detector::calibration::is_anomalous;
use detector::picture::Picture;
use detector::preprocess::Rect;
use detector::scorer::Features;
use store::site::{self, SiteError};
use verdict::{JudgedBy, Reason, ScoredVerdict, Ticket};

use super::detectors::{Loaded, cropped};

/// Why the seats of a configuration cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// A site threshold was calibrated for another bundle, engine or setting than the seat has.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A seat's bundle is not among the detectors.
    #[error("{0}: no detector was loaded for this bundle")]
    NotLoaded(PathBuf),
}

/// The origin of a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThresholdOrigin {
    /// The configuration.
    Configuration,
    /// The calibration of this site, by the person of this name.
    Site(String),
    /// The bundle.
    Bundle,
}

/// What judges the frames of a seat.
#[derive(Clone, Debug)]
struct Judge {
    /// Place among the loaded detectors.
    detector: usize,
    region: Option<Rect>,
    threshold: f32,
    origin: ThresholdOrigin,
    /// The threshold of the bundle, for comparison in messages.
    bundle_threshold: f32,
    /// SHA-256 of the bundle.
    bundle: String,
}

/// What judges the frames of each seat. A threshold of the configuration takes precedence over the site threshold, and the site threshold
/// over the threshold of the bundle.
#[derive(Clone, Debug)]
pub struct SeatPlan {
    views: Vec<String>,
    products: Vec<String>,
    /// The line makes one product without a name: verdict lines have no product.
    has_one_nameless_product: bool,
    /// Product by product, one entry for each view.
    judges: Vec<Judge>,
}

impl SeatPlan {
    /// Gives each seat of a configuration its detector.
    ///
    /// # Errors
    /// When a seat's bundle was not loaded, or a site threshold was calibrated for something else.
    pub fn new(config: &Config, loaded: &[Loaded]) -> Result<SeatPlan, SeatError> {
        let judge = |(id, seat): (SeatId, &config::Seat)| {
            let place = loaded.iter().position(|loaded| loaded.path == seat.bundle);
            let place = place.ok_or_else(|| SeatError::NotLoaded(seat.bundle.clone()))?;
            let detector = &loaded[place].detector;
            let own = detector.calibration.threshold;
            let (threshold, origin) = match seat.threshold {
                Some(threshold) => (threshold, ThresholdOrigin::Configuration),
                None => match site::of(config, detector, id)? {
                    Some(site) => (site.calibration.threshold, ThresholdOrigin::Site(site.by)),
                    None => (own, ThresholdOrigin::Bundle),
                },
            };
            let bundle = detector.bundle.clone();
            Ok(Judge { detector: place, region: seat.region, threshold, origin, bundle_threshold: own, bundle })
        };
        Ok(SeatPlan {
            views: config.views.iter().map(|view| view.name.clone()).collect(),
            products: config.products.iter().map(|product| product.name.clone()).collect(),
            has_one_nameless_product: config.has_one_nameless_product(),
            judges: config.seats().map(judge).collect::<Result<_, SeatError>>()?,
        })
    }

    /// A log message for each seat, with its threshold and the origin of the threshold.
    pub fn thresholds(&self) -> impl Iterator<Item = String> + '_ {
        self.judges.iter().enumerate().map(|(place, judge)| {
            let (view, product) = (&self.views[place % self.views.len()], &self.products[place / self.views.len()]);
            let of_product = if product.is_empty() { String::new() } else { format!(" of {product}") };
            let origin = match &judge.origin {
                ThresholdOrigin::Configuration => "of the configuration".to_owned(),
                ThresholdOrigin::Site(by) => format!("of this site, by {by}"),
                ThresholdOrigin::Bundle => "of the bundle".to_owned(),
            };
            let Judge { threshold, bundle_threshold, .. } = judge;
            format!("{view}{of_product}: threshold {threshold:.4} {origin}; the bundle's is {bundle_threshold:.4}")
        })
    }

    /// The places of the detectors that judge a part of a product, one for each view.
    pub fn detectors_of(&self, product: usize) -> impl Iterator<Item = usize> + '_ {
        self.judges.iter().skip(product * self.views.len()).take(self.views.len()).map(|judge| judge.detector)
    }

    /// A product's name; empty where the line makes one product only.
    pub fn product_name(&self, product: usize) -> &str {
        self.products.get(product).map_or("", String::as_str)
    }

    /// View, product, threshold and bundle for a verdict line.
    pub fn judged_by(&self, ticket: &Ticket) -> JudgedBy<'_> {
        let product = ticket.product.map(|product| self.product_name(product));
        let judge = self.judge(ticket);
        JudgedBy {
            view: self.views.get(ticket.view).map_or("", String::as_str),
            product: (!self.has_one_nameless_product).then_some(product),
            threshold: judge.map(|judge| judge.threshold),
            bundle: judge.map(|judge| judge.bundle.as_str()),
        }
    }

    /// What judges a frame; none while the frame's product is in doubt.
    fn judge(&self, ticket: &Ticket) -> Option<&Judge> {
        self.judges.get(ticket.product? * self.views.len() + ticket.view)
    }
}

/// The features of a frame, or its unknown verdict if there are none.
pub type Extracted = Result<Features, ScoredVerdict>;

/// Both stages of judging, for the frames of all seats: features, then verdict. `loaded` are the detectors from which the plan was made.
/// The two stages may work at the same time, on different frames. Every failure becomes an unknown verdict with its cause.
pub fn stages<'a>(
    plan: &'a SeatPlan,
    loaded: &'a mut [Loaded],
) -> (impl FnMut(&Ticket, &Picture) -> Extracted + Send + 'a, impl FnMut(&Ticket, Extracted) -> ScoredVerdict + Send + 'a) {
    let unknown = |detail: String| ScoredVerdict::unknown_because(Reason::ScoringFailed, detail);
    let detectors = loaded.iter_mut().map(|loaded| &mut loaded.detector);
    let (mut extractors, mut scorers): (Vec<_>, Vec<_>) = detectors.map(Detector::stages).unzip();
    let no_product = move || unknown("the product of the frame is in doubt".into());
    let extract = move |ticket: &Ticket, picture: &Picture| {
        let judge = plan.judge(ticket).ok_or_else(no_product)?;
        let extractor = &mut extractors[judge.detector];
        let features = match judge.region {
            None => extractor.extract(picture),
            Some(region) => cropped(picture, region).and_then(|picture| extractor.extract(&picture)),
        };
        features.map_err(|error| unknown(error.to_string()))
    };
    let score = move |ticket: &Ticket, extracted: Extracted| {
        let scored = extracted.and_then(|features| {
            let judge = plan.judge(ticket).ok_or_else(no_product)?;
            match scorers[judge.detector].score(features.with_threshold(judge.threshold)) {
                Ok(scored) if scored.score.is_finite() => {
                    Ok(ScoredVerdict::scored(scored.score, is_anomalous(scored.score, judge.threshold)))
                }
                Ok(scored) => Err(unknown(format!("the score is {}", scored.score))),
                Err(error) => Err(unknown(error.to_string())),
            }
        });
        scored.unwrap_or_else(|unknown| unknown)
    };
    (extract, score)
}
