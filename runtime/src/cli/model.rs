use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::Detector;
use detector::bundle::{Bundle, SIZE_LIMIT};
use detector::files;
use serde::Serialize;

use super::{Answer, Judged, Model, output};

/// Prepare bundles for this machine
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Install(Install),
}

/// Put a bundle into the state folder, ready to start
///
/// The bundle is verified, started on the engine and self-tested here; only then it is copied to DIR/models. TensorRT builds what it
/// needs, which takes minutes, and keeps it in DIR/tensorrt, so that the line starts at once.
#[derive(clap::Args)]
struct Install {
    /// The bundle
    #[arg(value_name = "NAME.apc")]
    bundle: PathBuf,
    #[command(flatten)]
    engines: super::EngineArgs,
    #[command(flatten)]
    machine: super::MachineArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    bundle: &'a str,
    path: &'a Path,
    #[serde(flatten)]
    judged: Judged,
    self_test_difference: f32,
}

pub(super) fn run(args: Args) -> Result<Answer> {
    let Command::Install(args) = args.command;
    let state = args.machine.state.clone().context("--state is missing: it names the folder that the bundle is put into")?;
    let json = args.json;
    let model = Model { model: args.bundle, engines: args.engines, machine: args.machine };
    // The bytes that were verified are the bytes that are written.
    let bytes = files::read_bounded(&model.model, SIZE_LIMIT)?;
    let bundle = Bundle::parse(&bytes, &model.model)?;
    let spinner = output::spinner("starting on the engine, which may have to build the network first");
    let started = Detector::start(&bundle, &model.setup());
    spinner.finish_and_clear();
    let detector = started?;
    let folder = state.join("models");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let name = model.model.file_stem().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!("{name}-{}.apc", &bundle.id[..12]));
    files::write_atomic(&path, &bytes)?;
    let judged = Judged::by(&detector);
    let difference = detector.self_test_difference;
    if json {
        output::print_json(&Document { bundle: &bundle.id, path: &path, judged, self_test_difference: difference })?;
    } else {
        output::print(&format!(
            "{}: installed; engine {}, {} network, self-test difference {difference:.1e}",
            path.display(),
            judged.engine,
            judged.variant
        ))?;
    }
    Ok(Answer::Done)
}
