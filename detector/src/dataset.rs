//! Data sets on disk: MVTec's layout and a flat one.
//!
//! ```text
//! MVTec: train/good  test/good  test/<defect>  ground_truth/<defect>/<stem>_mask.png
//! flat:  good  anomalous  masks/<stem>.png or masks/<stem>_mask.png (optional)
//! ```

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::picture::is_image_name;
use crate::run::Split;
use crate::{Error, Result, files};

/// Folder of anomalous images in the flat layout, and the name of their defect.
const ANOMALOUS: &str = "anomalous";
const GOOD: &str = "good";

/// One image and its truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// Name of the defect; a good image has none.
    pub defect: Option<String>,
    /// Mask of the defect, where there is one.
    pub mask: Option<PathBuf>,
}

impl Sample {
    /// Whether the image shows a defect.
    pub fn is_anomalous(&self) -> bool {
        self.defect.is_some()
    }
}

/// Which layout a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Training and test images are apart.
    Mvtec,
    /// All good images are together.
    Flat,
}

/// All images of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// Good images to learn from, sorted by path.
    pub train: Vec<PathBuf>,
    /// Images to evaluate on, sorted by defect and path. In the flat layout all good images are in both lists: the training's split
    /// says which of them it used.
    pub test: Vec<Sample>,
}

impl Dataset {
    /// Lists the images of a folder.
    ///
    /// # Errors
    /// When the folder is missing, has neither layout, or holds a folder named like an image.
    pub fn open(root: &Path) -> Result<Dataset> {
        if !root.is_dir() {
            return Err(Error::file(root, "is no folder; a data set in MVTec's layout or a flat one was expected"));
        }
        if root.join("train").join(GOOD).is_dir() || root.join("test").is_dir() {
            Self::mvtec(root)
        } else if root.join(GOOD).is_dir() || root.join(ANOMALOUS).is_dir() {
            Self::flat(root)
        } else {
            Err(Error::file(root, "has neither train/good (MVTec's layout) nor good (flat layout)"))
        }
    }

    fn mvtec(root: &Path) -> Result<Dataset> {
        let train = root.join("train").join(GOOD);
        let train = if train.is_dir() { images(&train)? } else { Vec::new() };
        let mut test = Vec::new();
        for defect in folders(&root.join("test"))? {
            let name = defect.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let masks = root.join("ground_truth").join(&name);
            for path in images(&defect)? {
                let good = name == GOOD;
                let mask = if good { None } else { find_mask(&masks, &path) };
                test.push(Sample { path, defect: (!good).then(|| name.clone()), mask });
            }
        }
        Ok(Dataset { root: root.into(), layout: Layout::Mvtec, train, test })
    }

    fn flat(root: &Path) -> Result<Dataset> {
        let of = |name: &str| {
            let folder = root.join(name);
            if folder.is_dir() { images(&folder) } else { Ok(Vec::new()) }
        };
        let (train, anomalous) = (of(GOOD)?, of(ANOMALOUS)?);
        let mut test: Vec<Sample> = train.iter().map(|path| Sample { path: path.clone(), defect: None, mask: None }).collect();
        let masks = root.join("masks");
        test.extend(anomalous.into_iter().map(|path| {
            let mask = find_mask(&masks, &path);
            Sample { path, defect: Some(ANOMALOUS.into()), mask }
        }));
        Ok(Dataset { root: root.into(), layout: Layout::Flat, train, test })
    }

    /// The sample of an image file, with its mask. Its data set is the folder above that has one of the layouts. If two folders have one,
    /// the folder that knows the mask is taken: `test` with `good` and `anomalous` in it looks like a flat data set of its own.
    pub fn sample_at(path: &Path) -> Option<Sample> {
        let of = |folder: &Path| Dataset::open(folder).ok()?.test.into_iter().find(|sample| sample.path == path);
        path.ancestors().skip(2).take(2).filter_map(of).min_by_key(|sample| sample.mask.is_none())
    }

    /// The test images that training and calibration did not see, by content.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn unseen(&self, split: &Split) -> Result<Vec<Sample>> {
        let seen: HashSet<&str> = split.images.iter().map(|image| image.sha256.as_str()).collect();
        let mut unseen = Vec::new();
        for sample in &self.test {
            if !seen.contains(files::sha256_file(&sample.path)?.as_str()) {
                unseen.push(sample.clone());
            }
        }
        Ok(unseen)
    }
}

/// The image files of a folder, without its subfolders, sorted. Other files are passed over.
///
/// # Errors
/// When the folder cannot be read or a folder in it is named like an image.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = entries(folder)?;
    images.retain(|path| is_image_name(path));
    if let Some(path) = images.iter().find(|path| path.is_dir()) {
        return Err(Error::file(path, "is a folder; an image file was expected"));
    }
    Ok(images)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir());
    Ok(folders)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = read().map_err(Error::io(folder, "list"))?;
    paths.sort();
    Ok(paths)
}

fn find_mask(masks: &Path, image: &Path) -> Option<PathBuf> {
    let stem = image.file_stem()?.to_str()?;
    let names = [format!("{stem}_mask.png"), format!("{stem}.png")];
    names.into_iter().map(|name| masks.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.as_bytes()).unwrap();
        }
    }

    #[test]
    fn mvtec_layout() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["train/good/1.png", "train/good/0.PNG", "train/good/notes.txt", "test/good/0.jpg"]);
        touch(root.path(), &["test/crack/0.png", "test/crack/1.png", "ground_truth/crack/0_mask.png"]);
        let data = Dataset::open(root.path()).unwrap();
        assert_eq!(data.layout, Layout::Mvtec);
        assert_eq!(data.train.len(), 2);
        let truth: Vec<_> = data.test.iter().map(|s| (s.defect.as_deref(), s.mask.is_some())).collect();
        assert_eq!(truth, [(Some("crack"), true), (Some("crack"), false), (None, false)]);
    }

    #[test]
    fn a_sample_is_found_with_its_mask() {
        let root = tempfile::tempdir().unwrap();
        let mvtec = ["m/test/good/0.png", "m/test/anomalous/0.png", "m/ground_truth/anomalous/0_mask.png", "m/test/dent/0.png"];
        touch(root.path(), &[&mvtec[..], &["f/good/0.png", "f/anomalous/0.png", "f/anomalous/1.png", "f/masks/0.png"]].concat());
        let at = |path: &str| Dataset::sample_at(&root.path().join(path));
        let mask = |path: &str| at(path).unwrap().mask;
        assert_eq!(mask("m/test/anomalous/0.png"), Some(root.path().join("m/ground_truth/anomalous/0_mask.png")));
        assert_eq!(mask("f/anomalous/0.png"), Some(root.path().join("f/masks/0.png")));
        assert_eq!((mask("m/test/dent/0.png"), mask("f/anomalous/1.png")), (None, None));
        assert_eq!((at("m/test/dent/0.png").unwrap().defect, at("m/test/dent/1.png")), (Some("dent".into()), None));
    }

    #[test]
    fn flat_layout_and_unseen_images() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["good/a.png", "good/b.png", "anomalous/c.png", "masks/c.png"]);
        let data = Dataset::open(root.path()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (2, 3));
        let image = crate::run::SplitImage {
            fold: None,
            path: "good/a.png".into(),
            sha256: files::sha256(b"good/a.png"),
            group: None,
            r#use: crate::run::Use::Bank,
        };
        let unseen = data.unseen(&Split { images: vec![image] }).unwrap();
        assert_eq!(unseen.len(), 2);
        assert!(unseen.iter().all(|sample| !sample.path.ends_with("a.png")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        assert!(Dataset::open(&root.path().join("none")).unwrap_err().to_string().contains("none"));
        assert!(Dataset::open(root.path()).unwrap_err().to_string().contains("train/good"));
        fs::create_dir_all(root.path().join("good/x.png")).unwrap();
        assert!(Dataset::open(root.path()).unwrap_err().to_string().contains("x.png"));
    }
}
