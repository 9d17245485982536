//! The product of the machine test: a bundle, and pictures for the camera.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::binaries::Build;
use crate::files::{self, copy, install, list, sha256};
use crate::process;
use crate::workspace::Workspace;

/// Pictures of each kind.
const PICTURES: usize = 6;

/// Where images and weights come from.
pub struct Source {
    /// Folder of the images; without one the product is rendered.
    data: Option<PathBuf>,
    weights: Option<PathBuf>,
    recipe: PathBuf,
}

/// A folder with `product.apc` and `pictures/{good,anomalous}`, made once.
pub fn make(source: &Source, build: &Build, cache: &Path, fresh: bool) -> Result<PathBuf> {
    let data = source.data.as_ref().map_or("rendered".into(), |data| data.display().to_string());
    let stamp = format!("{data} {}", sha256(&source.recipe)?);
    let product = cache.join("product");
    if fresh {
        files::remove(&product)?;
    }
    install(&product, &stamp, |folder| learn(build, source, &data, folder))?;
    Ok(product)
}

impl Source {
    /// Real images and pretrained weights from APC_DATA or beside the checkout; without them the demonstration's product.
    pub fn best(workspace: &Workspace) -> Source {
        let beside = workspace.root().parent().map(|parent| parent.join("shared/data"));
        let folder = env::var_os("APC_DATA").map(PathBuf::from).or(beside);
        let real = folder.map(|folder| (folder.join("cookies"), folder.join("weights/resnet18_imagenet_layer3.safetensors")));
        match real.filter(|(data, weights)| data.is_dir() && weights.is_file()) {
            Some((data, weights)) => {
                Source { data: Some(data), weights: Some(weights), recipe: workspace.root().join("tests/machine/real.toml") }
            }
            None => Source::rendered(workspace.root().join("configs/train/demo.toml")),
        }
    }

    /// A rendered product, and a network that learns it from scratch.
    pub fn rendered(recipe: PathBuf) -> Source {
        Source { data: None, weights: None, recipe }
    }
}

fn learn(build: &Build, source: &Source, name: &str, folder: &Path) -> Result<()> {
    eprintln!("machine-test: learning a product ({name})");
    let (trainer, run) = (build.program("apc-trainer")?, folder.join("run"));
    let data = match &source.data {
        Some(data) => data.clone(),
        None => {
            let data = folder.join("images");
            process::run_to_success(Command::new(trainer).arg("synth").arg("--out").arg(&data), "cannot render a product")?;
            data
        }
    };
    let mut train = Command::new(trainer);
    train.arg("train").arg("--config").arg(&source.recipe).arg("--data").arg(&data).arg("--out").arg(&run);
    if let Some(weights) = &source.weights {
        train.arg("--weights").arg(weights);
    }
    process::run_to_success(&mut train, "cannot train")?;
    let mut export = Command::new(build.program("apc-export")?);
    export.arg("bundle").arg("--no-evaluate").arg(&run).arg("-o").arg(folder.join("product.apc"));
    process::run_to_success(&mut export, "cannot export the run as a bundle")?;
    pictures(&data.join("test"), &folder.join("pictures"))
}

/// The first pictures of each kind from a test set in MVTec's layout.
fn pictures(test: &Path, into: &Path) -> Result<()> {
    let (mut good, mut anomalous) = (Vec::new(), Vec::new());
    for folder in list(test)? {
        let kind = if folder.file_name().is_some_and(|name| name == "good") { &mut good } else { &mut anomalous };
        kind.extend(list(&folder)?);
    }
    for (name, paths) in [("good", good), ("anomalous", anomalous)] {
        let folder = into.join(name);
        files::make_folder(&folder)?;
        if paths.len() < PICTURES {
            bail!("{} holds {} {name} pictures; {PICTURES} are needed", test.display(), paths.len());
        }
        // Spread over all pictures, so that every defect is among them.
        for (index, path) in paths.iter().step_by(paths.len() / PICTURES).take(PICTURES).enumerate() {
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            copy(path, &folder.join(format!("{index:03}.{extension}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn pictures_are_taken_from_every_defect() {
        let folder = tempdir().unwrap();
        for (kind, count) in [("test/good", 7), ("test/crack", 6), ("test/hole", 6)] {
            fs::create_dir_all(folder.path().join(kind)).unwrap();
            (0..count).for_each(|i| fs::write(folder.path().join(kind).join(format!("{i}.png")), kind).unwrap());
        }
        let into = folder.path().join("pictures");
        pictures(&folder.path().join("test"), &into).unwrap();
        assert_eq!(list(&into.join("good")).unwrap().len(), PICTURES);
        let kinds: Vec<_> = list(&into.join("anomalous")).unwrap().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(kinds.len() == PICTURES && kinds.contains(&"test/crack".into()) && kinds.contains(&"test/hole".into()));
        let error = pictures(&folder.path().join("test/hole"), &into).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
