use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::Detector;
use detector::bundle::{Bundle, SIZE_LIMIT};
use detector::files;
use serde::Serialize;

use super::{Answer, Judged, Model, output};
use store::Store;
use store::models;

/// Prepare bundles for this machine, and choose which one is active
///
/// A line configuration with `detector.bundle = "active"` judges with the active one. A service that runs keeps its model until it is started
/// again.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Install(Install),
    /// List the installed bundles: id, product, self-test, which is active (*) and which one was before (-)
    List(List),
    /// Make an installed bundle the active one
    Activate(Choose),
    /// Make the bundle active that was before
    Rollback(At),
    /// Remove an installed bundle that is neither active nor the one before
    Remove(Choose),
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

#[derive(clap::Args)]
struct At {
    /// The state folder, runtime.state of the line configuration
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    at: At,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Choose {
    /// Beginning of its id or of its file's name
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    at: At,
}

#[derive(Serialize)]
struct Document<'a> {
    bundle: &'a str,
    path: &'a Path,
    #[serde(flatten)]
    judged: Judged,
    self_test_difference: f32,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    model: &'a models::Model,
    active: bool,
    before: bool,
}

pub(super) fn run(args: Args) -> Result<Answer> {
    match args.command {
        Command::Install(args) => return install(args),
        Command::List(args) => list(&args)?,
        Command::Activate(args) => {
            let model = Store::at(&args.at.state).lock()?.activate(&args.model)?;
            output::print(&format!("{}: active; a service takes it when it starts again", model.file))?;
        }
        Command::Rollback(args) => {
            let model = Store::at(&args.state).lock()?.roll_back()?;
            output::print(&format!("{}: active again; a service takes it when it starts again", model.file))?;
        }
        Command::Remove(args) => {
            let model = Store::at(&args.at.state).lock()?.remove(&args.model)?;
            output::print(&format!("{}: removed", model.file))?;
        }
    }
    Ok(Answer::Done)
}

fn install(args: Install) -> Result<Answer> {
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
    let name = model.model.file_stem().unwrap_or_default().to_string_lossy();
    let tested = models::Model::tested(&detector, &bundle, &name);
    let path = Store::at(state).lock()?.install(tested, &bytes)?;
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

fn list(args: &List) -> Result<()> {
    let models = Store::at(&args.at.state).models()?;
    let is = |id: Option<&str>, model: &models::Model| id == Some(model.id.as_str());
    let (active, before) = (models.history.active(), models.history.before());
    let rows = models.installed.iter().map(|model| Row { model, active: is(active, model), before: is(before, model) });
    if args.json {
        return output::print_json(&rows.collect::<Vec<_>>());
    }
    for Row { model, active, before } in rows {
        let mark = if active {
            "*"
        } else if before {
            "-"
        } else {
            " "
        };
        let models::Model { file, product, engine, variant, self_test_difference, self_test_tolerance, .. } = model;
        output::print(&format!(
            "{mark} {}  {product:16}  {engine:8}  {:5}  self-test {self_test_difference:.1e} of {self_test_tolerance:.1e}  {file}",
            models::short(&model.id),
            variant.name()
        ))?;
    }
    Ok(())
}
