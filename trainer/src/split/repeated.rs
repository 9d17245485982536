//! The same picture under several names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use detector::files;
use detector::picture::Picture;
use rayon::prelude::*;

/// Images that have the same pixels as an earlier one in the list; names and formats of the files do not matter. An unreadable image
/// is not among them: the error comes when the image is read for its use.
pub(super) fn repeated<'a>(images: impl Iterator<Item = &'a PathBuf>) -> HashSet<PathBuf> {
    let mut listed = HashSet::new();
    let images: Vec<&PathBuf> = images.filter(|path| listed.insert(*path)).collect();
    let prints: Vec<Option<String>> = images.par_iter().map(|path| fingerprint(path)).collect();
    let mut first = HashMap::new();
    let mut repeated = HashSet::new();
    for (path, print) in images.into_iter().zip(prints) {
        let Some(print) = print else { continue };
        if let Some(earlier) = first.get(&print) {
            let earlier: &PathBuf = earlier;
            log::warn!("{}: shows the same pixels as {}; it is left out", path.display(), earlier.display());
            repeated.insert(path.clone());
        } else {
            first.insert(print, path.clone());
        }
    }
    repeated
}

/// Hash of an image's decoded pixels and its colour; none where it cannot be read.
fn fingerprint(path: &Path) -> Option<String> {
    let picture = Picture::read(path).ok()?;
    let mut bytes = picture.pixels.into_raw();
    bytes.extend(picture.colour.to_string().bytes());
    Some(files::sha256(&bytes))
}
