//! Everything that is made once and kept in `.cache/peers`: the Python environment, and for each case a bundle and the peers' exports.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::super::banks::Banks;
use super::super::search::frames;
use super::ours::Ours;
use crate::binaries::{Build, Targets};
use crate::files::{self, existing, install, sha256};
use crate::python::Python;
use crate::workspace::Workspace;
use crate::{process, setup};

/// The scripts that make the peers' exports: another version of one makes other exports.
const SCRIPTS: [&str; 3] = ["export.py", "model.py", "light_torch.py"];

/// Programs, images and folders that all cases share.
pub struct Ground {
    /// Our programs, for training and export.
    pub build: Build,
    /// Our programs that are measured.
    pub packaged: Build,
    /// Images in MVTec's layout.
    pub data: PathBuf,
    /// ONNX Runtime's, for our engine.
    library: PathBuf,
    folder: PathBuf,
    scripts: PathBuf,
    python: PathBuf,
}

/// Where a backbone's weights come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights<'a> {
    /// From this file.
    Own(&'a Path),
    /// From this file of a ResNet-50, for a network that is twice as wide.
    Widened(&'a Path),
    /// Drawn, since no file was given.
    Random,
}

impl<'a> Weights<'a> {
    /// Chooses among the files that the user gave.
    pub fn choose(files: &'a [PathBuf], backbone: &str) -> Weights<'a> {
        let of = |name: &str| files.iter().find(|file| file.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)));
        match (of(backbone), of("resnet50")) {
            (Some(file), _) => Weights::Own(file),
            (None, Some(file)) if backbone == "wide_resnet50_2" => Weights::Widened(file),
            _ => Weights::Random,
        }
    }

    /// A note for readers of the figures, where the weights are not the backbone's own.
    pub fn note(self, backbone: &str) -> Option<String> {
        match self {
            Weights::Own(_) => None,
            Weights::Widened(_) => {
                Some(format!("{backbone} computes the features of the ResNet-50 whose weights were given, at its own cost"))
            }
            Weights::Random => Some(format!(
                "{backbone} has random weights: its scores mean nothing, and a search can skip less on its features than on learned ones"
            )),
        }
    }
}

/// One case, ready to run.
pub struct Prepared {
    pub backbone: String,
    /// Vectors.
    pub bank: usize,
    pub weights: PathBuf,
    pub run: PathBuf,
    pub bundle: PathBuf,
    pub ours: Ours,
    /// Folder of the peers' exports and of the frames.
    pub peers: PathBuf,
}

impl Ground {
    /// Builds our programs, installs the peers, and renders images where the user has none.
    pub fn prepare(workspace: &Workspace, data: Option<&Path>) -> Result<Self> {
        let libtorch = setup::prepare(workspace)?;
        let build = Build::of(workspace, &libtorch, Targets::Programs)?;
        let packaged = Build::as_packaged(workspace, &["search"])?;
        let (folder, scripts) = (workspace.cache().join("peers"), workspace.root().join("xtask/peers"));
        let python = environment(workspace, &folder.join("venv"), &scripts)?;
        let data = match data {
            Some(data) => existing(data)?,
            None => {
                let part = folder.join("rendered-part");
                install(&part, "1", |partial| {
                    let mut synth = Command::new(build.program("apc-trainer")?);
                    process::run_to_success(synth.arg("synth").arg("--out").arg(partial.join("images")), "cannot render images")
                })?;
                part.join("images")
            }
        };
        let library = workspace.cache().join("onnxruntime/lib/libonnxruntime.so");
        Ok(Self { build, packaged, data, library, folder, scripts, python })
    }

    /// A Python program of the bench.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join(name)).env("PYTHONPYCACHEPREFIX", self.folder.join("pycache"));
        command
    }

    /// Trains and exports one case, on both sides.
    pub fn case(&self, backbone: &str, bank: usize, weights: Weights<'_>) -> Result<Prepared> {
        let weights = match weights {
            Weights::Own(file) => existing(file)?,
            Weights::Widened(file) => self.widened_weights(backbone, &existing(file)?)?,
            Weights::Random => self.random_weights(backbone)?,
        };
        let name = self.data.file_name().unwrap_or_default().to_string_lossy();
        let (build, data, folder) = (&self.build, &self.data, &self.folder);
        let banks = Banks { build, data, weights: &weights, backbone, folder, name: &name };
        let (run, bundle) = (banks.run(bank)?, banks.bundle(bank)?);

        let peers = banks.place(bank, "peers");
        let mut stamp = banks.inputs()? + &sha256(&self.scripts.join("requirements.txt"))?;
        for script in SCRIPTS {
            stamp += &sha256(&self.scripts.join(script))?;
        }
        install(&peers, &stamp, |partial| {
            eprintln!("bench: anomalib exports {backbone} with {bank} vectors");
            let mut export = self.script("export.py");
            export.arg(backbone).arg(&weights).arg(run.join("bank.safetensors")).arg(partial).args(frames(&self.data)?);
            process::run_to_success(&mut export, "the peers' export failed")
        })?;
        let ours = Ours::choose(self.packaged.program("apc-runtime")?, &bundle, self.library.clone())?;
        Ok(Prepared { backbone: backbone.into(), bank, weights, run, bundle, ours, peers })
    }

    fn widened_weights(&self, backbone: &str, narrow: &Path) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{backbone}-widened-weights"));
        let weights = format!("{backbone}.safetensors");
        let stamp = sha256(narrow)? + &sha256(&self.scripts.join("widen.py"))?;
        install(&folder, &stamp, |partial| {
            let mut script = self.script("widen.py");
            process::run_to_success(script.arg(narrow).arg(partial.join(&weights)), "cannot widen the weights")
        })?;
        Ok(folder.join(weights))
    }

    fn random_weights(&self, backbone: &str) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{backbone}-random-weights"));
        let weights = folder.join(format!("{backbone}.safetensors"));
        let stamp = format!("{}\n{}\n", self.data.display(), sha256(&self.scripts.join("random_weights.py"))?);
        install(&folder, &stamp, |partial| {
            let mut script = self.script("random_weights.py");
            script.arg(backbone).arg(partial.join(format!("{backbone}.safetensors"))).args(frames(&self.data)?);
            process::run_to_success(&mut script, "cannot write random weights")
        })?;
        Ok(weights)
    }
}

/// The peers' Python environment; gives its interpreter.
fn environment(workspace: &Workspace, folder: &Path, scripts: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let requirements = scripts.join("requirements.txt");
    let stamp = sha256(&requirements)? + &sha256(&scripts.join("stubs.py"))?;
    let is_stamped = files::read(&folder.join("apc-stamp")).is_ok_and(|found| found == stamp);
    if is_stamped && folder.join("pyvenv.cfg").is_file() {
        return Ok(python);
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        bail!("the peers' pinned packages are for Linux on x86-64 only");
    }
    eprintln!("bench: installing the peers into {} (2.4 GB, some minutes)", folder.display());
    // A virtual environment holds its own path: it cannot be made elsewhere and renamed.
    let _lock = workspace.lock_cache()?;
    let ours = Python::prepare(workspace)?;
    let purpose = "cannot make a Python environment";
    process::run_to_success(Command::new(ours.interpreter()).args(["-m", "venv"]).arg(folder), purpose)?;
    let scratch = folder.join("scratch");
    files::make_folder(&scratch)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--only-binary=:all:"]);
    // Pure Python, and published as source only.
    pip.args(["--no-binary=FrEIA", "--no-deps", "--requirement"]).arg(&requirements).env("TMPDIR", &scratch);
    process::run_to_success(&mut pip, "pip could not install the peers (is the package index reachable?)")?;
    process::run_to_success(Command::new(&python).arg(scripts.join("stubs.py")), "cannot replace torch's CUDA libraries")?;
    files::remove(&scratch)?;
    files::write(&folder.join("apc-stamp"), stamp)?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_network_without_weights_takes_the_narrow_ones() {
        let files = ["a/resnet18_x.safetensors", "a/resnet50_x.safetensors"].map(PathBuf::from);
        assert_eq!(Weights::choose(&files, "resnet18"), Weights::Own(&files[0]));
        assert_eq!(Weights::choose(&files, "wide_resnet50_2"), Weights::Widened(&files[1]));
        assert_eq!(Weights::choose(&files[..1], "wide_resnet50_2"), Weights::Random);
        assert_eq!(Weights::choose(&[], "resnet18"), Weights::Random);
    }
}
