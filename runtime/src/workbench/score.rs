//! One image file: its score, its verdict, and its heat map as a file.

use std::collections::HashSet;
use std::path::Path;

use detector::picture::Picture;
use detector::{Detector, Error, Result, files};
use verdict::Verdict;

use super::{heatmap, png};

/// The verdict for an image, with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageVerdict {
    /// Good or anomalous, at the bundle's threshold.
    pub verdict: Verdict,
    /// The image score; finite.
    pub score: f32,
}

/// Scores an image file at the bundle's threshold, and writes its heat map to `heat_map` where that is wanted.
///
/// # Errors
/// When the image cannot be read or is of the other colour, the engine fails or gives a score that is no number, or the heat map cannot
/// be written. The error names the file.
pub fn score(detector: &mut Detector, image: &Path, heat_map: Option<&Path>) -> Result<ImageVerdict> {
    let picture = Picture::read(image)?;
    let scored = detector.score(&picture).map_err(Error::at(image))?;
    if !scored.score.is_finite() {
        return Err(Error::file(image, format!("was scored {}, which is no number to judge by", scored.score)));
    }
    if let Some(target) = heat_map {
        let prepared = detector.scorer().preprocess().prepare(&picture.pixels)?;
        let overlay = heatmap::overlay(&prepared.pixels, &scored.map(), detector.calibration.threshold)?;
        files::write_atomic(target, &png::encode_rgb(&overlay).map_err(Error::at(target))?)?;
    }
    let verdict = if detector.is_anomalous(scored.score) { Verdict::Anomalous } else { Verdict::Good };
    Ok(ImageVerdict { verdict, score: scored.score })
}

/// File names of heat maps, `STEM.heatmap.png`. Images of one name in several folders get different names.
#[derive(Debug, Default)]
pub struct HeatMapNames {
    given: HashSet<String>,
}

impl HeatMapNames {
    /// A name that was not given before.
    pub fn unique(&mut self, image: &Path) -> String {
        let stem = image.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = format!("{stem}.heatmap.png");
        let mut count = 1;
        while !self.given.insert(name.clone()) {
            count += 1;
            name = format!("{stem}-{count}.heatmap.png");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_maps_have_names_of_their_own() {
        let mut names = HeatMapNames::default();
        let given = ["a/0.png", "b/0.png", "0-2.jpg", "c/0.tif", ".."].map(|image| names.unique(Path::new(image)));
        assert_eq!(given[..2], ["0.heatmap.png", "0-2.heatmap.png"]);
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
    }
}
