//! Options of the commands that start a detector.

use std::path::PathBuf;

use anyhow::Result;
use config::SHARE_LIMIT;
use detector::bundle::Bundle;
use detector::engine::{EngineKind, Machine, VariantChoice};
use detector::scorer::SECOND_LOOK;
use detector::{Detector, Setup};

/// Options of the commands that take a bundle.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// The bundle
    #[arg(long, value_name = "NAME.apc")]
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) start: StartArgs,
}

/// Engines, networks and libraries that a detector may be started with.
#[derive(clap::Args)]
pub(super) struct StartArgs {
    /// Engines: tract, ort-cpu, cuda, tensorrt. Of several, the first that starts and passes the bundle's self-test
    #[arg(long, value_delimiter = ',', default_value = "tract", value_name = "ENGINE")]
    engine: Vec<EngineKind>,
    /// Which of the bundle's networks: float, int8, fused; auto takes fused on a GPU, otherwise float
    #[arg(long, default_value_t, value_name = "VARIANT")]
    variant: VariantChoice,
    /// The float network decides where the int8 network's score is within this share of the threshold; 0 nowhere
    #[arg(long, default_value_t = SECOND_LOOK, value_name = "SHARE", value_parser = share)]
    second_look: f32,
    /// ONNX Runtime's shared library [default: the environment's ORT_DYLIB_PATH]
    #[arg(long, value_name = "LIBRARY")]
    onnxruntime: Option<PathBuf>,
    /// Folder for the networks that TensorRT builds [default: nothing is kept]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
}

impl ModelArgs {
    /// Reads the bundle and starts its detector.
    pub(super) fn start(&self) -> Result<(Bundle, Detector)> {
        let bundle = Bundle::read(&self.model)?;
        let detector = Detector::start(&bundle, &self.start.setup())?;
        Ok((bundle, detector))
    }
}

impl StartArgs {
    /// The engines, networks and libraries that may run a bundle.
    pub(super) fn setup(&self) -> Setup {
        Setup {
            engines: self.engine.clone(),
            variant: self.variant,
            second_look: self.second_look,
            machine: Machine { onnxruntime: self.onnxruntime.clone(), state: self.state.clone() },
        }
    }
}

fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..=SHARE_LIMIT).contains(share));
    share.ok_or_else(|| format!("a share of 0 to {SHARE_LIMIT} was expected"))
}
