//! One training with the real programs: trained, exported, and evaluated with the runtime's code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use detector::evaluate::Figures;

use crate::binaries::Build;
use crate::process::{self, Usage};
use crate::workspace::Workspace;
use crate::{figures, files};

/// The images of a training, and a folder for run and bundle that goes away with this value.
pub struct Trial<'a> {
    build: &'a Build,
    data: &'a Path,
    scratch: PathBuf,
}

impl<'a> Trial<'a> {
    /// A trial on the images of `data` in an empty folder `scratch`.
    pub fn new(build: &'a Build, data: &'a Path, scratch: PathBuf) -> Result<Self> {
        files::make_empty_folder(&scratch)?;
        Ok(Self { build, data, scratch })
    }

    /// The run's folder.
    pub fn run(&self) -> PathBuf {
        self.scratch.join("run")
    }

    /// The bundle.
    pub fn bundle(&self) -> PathBuf {
        self.scratch.join("product.apc")
    }

    /// Trains; returns the trainer's time and memory.
    pub fn train(&self, recipe: &Path, weights: &Path, seed: u64) -> Result<Usage> {
        let mut train = Command::new(self.build.program("apc-trainer")?);
        train.arg("train").arg("--config").arg(recipe).arg("--data").arg(self.data).arg("--weights").arg(weights);
        train.arg("--out").arg(self.run()).args(["--seed", &seed.to_string()]);
        process::measure(&mut train, "cannot train")
    }

    /// The run's figures, with libtorch and the float bank.
    pub fn evaluate_run(&self) -> Result<Figures> {
        let mut evaluate = Command::new(self.build.program("apc-trainer")?);
        evaluate.arg("evaluate").arg(self.run()).arg("--data").arg(self.data).arg("--json");
        let text = process::output_of(&mut evaluate, "cannot evaluate the run")?;
        figures::parse(&text, Path::new("apc-trainer evaluate --json"))
    }

    /// Makes the bundle.
    pub fn export(&self) -> Result<()> {
        let mut export = Command::new(self.build.program("apc-export")?);
        export.arg("bundle").arg(self.run()).arg("-o").arg(self.bundle()).arg("--no-evaluate");
        process::run_to_success(&mut export, "cannot export")
    }

    /// Makes the bundle and evaluates it with the runtime's own code; `scores` names a file for the scores of every image.
    pub fn export_and_evaluate(&self, scores: Option<&Path>) -> Result<Figures> {
        self.export()?;
        let mut evaluate = Command::new(self.build.program("apc-runtime")?);
        evaluate.arg("evaluate").arg("--model").arg(self.bundle()).arg("--data").arg(self.data).arg("--json");
        if let Some(scores) = scores {
            evaluate.arg("--scores").arg(scores);
        }
        let text = process::output_of(&mut evaluate, "cannot evaluate the bundle")?;
        figures::parse(&text, Path::new("apc-runtime evaluate --json"))
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // A leftover does no harm: the next trial begins by removing it.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// The commit that is checked out, as `git describe` names it.
pub fn commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(workspace.root());
    process::output_of(&mut git, "cannot ask git for the commit").map_or_else(|_| "unknown".into(), |text| text.trim().into())
}
