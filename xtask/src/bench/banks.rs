//! PatchCore bundles with banks of a given size; made once and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::binaries::Build;
use crate::files::{self, install, sha256};
use crate::process;

/// The inputs of banks, and the folder where the banks are kept.
pub struct Banks<'a> {
    /// Our programs.
    pub build: &'a Build,
    /// Images in MVTec's layout.
    pub data: &'a Path,
    /// Weights of the backbone.
    pub weights: &'a Path,
    /// Name of the backbone.
    pub backbone: &'a str,
    /// Folder of everything that is kept.
    pub folder: &'a Path,
    /// Name of the images; the names in the folder begin with it.
    pub name: &'a str,
}

impl Banks<'_> {
    /// Where a bank's files of one kind (run, bundle ...) are kept.
    pub fn place(&self, vectors: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("{}-{}-{vectors}-{kind}", self.name, self.backbone))
    }

    /// The stamp of a bank that was learned from these images and weights.
    pub fn inputs(&self) -> Result<String> {
        Ok(format!("{}\n{}\n", self.data.display(), sha256(self.weights)?))
    }

    /// The run with a bank of so many vectors.
    pub fn run(&self, vectors: usize) -> Result<PathBuf> {
        let trained = self.place(vectors, "run");
        install(&trained, &self.inputs()?, |partial| {
            let recipe = partial.join("recipe.toml");
            let backbone = self.backbone;
            let text = format!("mode = \"patchcore\"\n\n[backbone]\nname = \"{backbone}\"\n\n[bank]\nvectors = {vectors}\n");
            files::write(&recipe, text)?;
            let mut train = Command::new(self.build.program("apc-trainer")?);
            train.arg("train").arg("--config").arg(&recipe).arg("--data").arg(self.data).arg("--weights").arg(self.weights);
            process::run_to_success(train.arg("--out").arg(partial.join("run")), "cannot train")
        })?;
        Ok(trained.join("run"))
    }

    /// The bundle of that run, with the int8 form of the network unless its gate refuses the form, as it does for random weights.
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
