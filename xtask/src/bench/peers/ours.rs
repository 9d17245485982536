//! The kit's own contender: engine and form of the network that `apc-runtime bench --compare` recommends on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// Frames of the comparison.
const FRAMES: u32 = 30;

/// An engine and a form of the network.
#[derive(Clone, Debug)]
pub struct Ours {
    pub engine: String,
    pub variant: String,
    pub library: PathBuf,
}

#[derive(Deserialize)]
struct Comparison {
    recommended: Recommended,
}

#[derive(Deserialize)]
struct Recommended {
    engine: String,
    variant: String,
}

impl Ours {
    /// Measures the CPU's engines with every form of the network that the bundle holds.
    pub fn choose(runtime: &Path, bundle: &Path, library: PathBuf) -> Result<Self> {
        let mut compare = Command::new(runtime);
        compare.args(["--threads", "2", "bench", "--compare", "--json", "--engine", "tract,ort-cpu", "--frames"]);
        compare.arg(FRAMES.to_string()).arg("--onnxruntime").arg(&library).arg("--model").arg(bundle);
        let text = process::output_of(&mut compare, "cannot compare our engines")?;
        let found: Comparison = serde_json::from_str(&text).with_context(|| format!("no comparison in {text:?}"))?;
        let Recommended { engine, variant } = found.recommended;
        eprintln!("bench: ours is {engine} with the {variant} network");
        Ok(Self { engine, variant, library })
    }

    /// Adds the options that choose this engine and form to a command of `apc-runtime`.
    pub fn chosen<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["--engine", &self.engine, "--variant", &self.variant]).arg("--onnxruntime").arg(&self.library)
    }
}
