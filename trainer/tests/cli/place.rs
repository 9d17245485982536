//! A small product to train on, and the program under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The beginning of a recipe for a very small network; its last section is `[finetune]`.
pub const SMALL: &str = "mode = \"apc\"\ndevice = \"cpu\"\n[data]\nanomalous_samples = 3\n[input]\nsize = [64, 64]\n\
    [backbone]\nname = \"resnet10\"\n[bank]\nshare = 0.05\n[examples]\nbatch = 4\n[finetune]\ncheckpoint = 2\n";

/// A folder with images and a recipe.
pub struct Place(tempfile::TempDir);

impl Place {
    /// A folder with a small rendered product and a recipe for it.
    pub fn new(steps: usize) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let size = ["--size", "64", "--train", "14", "--good", "4", "--anomalous", "12"];
        let data = place.path("data");
        let output = trainer(&[&["synth", "--out", data.to_str().unwrap()], &size[..]].concat());
        assert!(output.status.success(), "{}", error(&output));
        place.recipe(&format!("{SMALL}steps = {steps}\n"));
        place
    }

    /// The same, letterboxed, for mode `apc+`: without weights the backbone learns from scratch, then the heads.
    pub fn with_defect_head(steps: usize, of_head: usize) -> Place {
        let place = Place::new(steps);
        let recipe = SMALL.replace("\"apc\"", "\"apc+\"").replace("batch = 4", "batch = 4\nsimulated = 0.3");
        let recipe = recipe.replace("[64, 64]", "[64, 96]\nresize = \"letterbox\"");
        let defects = format!("[defects]\nunits = 8\nexamples = 10\nsteps = {of_head}\ncheckpoint = 2\n");
        place.recipe(&format!("{recipe}steps = {steps}\n{defects}[smoothing]\nneighbourhood = 3\n"));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn recipe(&self, text: &str) {
        fs::write(self.path("recipe.toml"), text).unwrap();
    }

    pub fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apc-trainer"));
        command.arg("train").arg("--config").arg(self.path("recipe.toml")).arg("--data").arg(self.path("data"));
        command.arg("--out").arg(self.path(out)).args(more).stdin(Stdio::null());
        command
    }

    pub fn train(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    /// Trains, expecting exit code 2 and every word in the message; no run may be left that claims to be finished.
    #[track_caller]
    pub fn refuses(&self, words: &[&str]) {
        let output = self.train("refused", &[]);
        let message = error(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "{word:?} is not in: {message}"));
        assert!(!message.contains("panicked"), "{message}");
        assert!(!self.path("refused/run.toml").exists());
    }

    pub fn first_good(&self) -> PathBuf {
        let mut images: Vec<_> = fs::read_dir(self.path("data/train/good")).unwrap().map(|e| e.unwrap().path()).collect();
        images.sort();
        images[0].clone()
    }
}

pub fn trainer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apc-trainer")).args(args).output().unwrap()
}

pub fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
