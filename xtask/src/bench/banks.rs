//! PatchCore bundles whose banks have a size of one's choice; made once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::Build;
use crate::process;
use crate::wheel::{install, sha256};

/// What banks are learned from, and where they are kept.
pub struct Banks<'a> {
    /// Our programs.
    pub build: &'a Build,
    /// Images in MVTec's layout.
    pub data: &'a Path,
    /// Of `backbone`.
    pub weights: &'a Path,
    /// Its name.
    pub backbone: &'a str,
    /// Where everything is kept; names begin with `name`.
    pub folder: &'a Path,
    /// Of the images.
    pub name: &'a str,
}

impl Banks<'_> {
    /// What this bank's files are named.
    pub fn place(&self, vectors: usize, what: &str) -> PathBuf {
        self.folder.join(format!("{}-{}-{vectors}-{what}", self.name, self.backbone))
    }

    /// What a kept bank must have been made of.
    pub fn inputs(&self) -> Result<String> {
        Ok(format!("{}\n{}\n", self.data.display(), sha256(self.weights)?))
    }

    /// The run.
    pub fn run(&self, vectors: usize) -> Result<PathBuf> {
        let trained = self.place(vectors, "run");
        install(&trained, &self.inputs()?, |partial| {
            let recipe = partial.join("recipe.toml");
            let backbone = self.backbone;
            let text = format!("mode = \"patchcore\"\n\n[backbone]\nname = \"{backbone}\"\n\n[bank]\nvectors = {vectors}\n");
            fs::write(&recipe, text).with_context(|| format!("cannot write {}", recipe.display()))?;
            let mut train = Command::new(self.build.program("apc-trainer")?);
            train.arg("train").arg("--config").arg(&recipe).arg("--data").arg(self.data).arg("--weights").arg(self.weights);
            process::run_to_success(train.arg("--out").arg(partial.join("run")), "cannot train")
        })?;
        Ok(trained.join("run"))
    }

    /// The bundle, with the int8 form of the network unless its gate refuses it, with random weights for one.
    pub fn bundle(&self, vectors: usize) -> Result<PathBuf> {
        let run = self.run(vectors)?;
        let exporter = self.build.program("apc-export")?;
        let exported = self.place(vectors, "bundle");
        install(&exported, &format!("{}{}\n", self.inputs()?, sha256(exporter)?), |partial| {
            let export = |with: &[&str]| {
                let mut export = Command::new(exporter);
                process::run(export.arg("bundle").args(with).arg(&run).arg("-o").arg(partial.join("case.apc")))
            };
            match export(&["--int8"])?.success() || export(&[])?.success() {
                true => Ok(()),
                false => bail!("cannot export {}", run.display()),
            }
        })?;
        Ok(exported.join("case.apc"))
    }
}
