use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use store::Store;
use store::models::{self, Model};

use super::answer::Answer;
use super::model_args::StartArgs;
use super::{output, progress};
use crate::commissioning::install::{Installed, install as install_bundle};

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
    /// List the installed bundles: id, product, self-test, which one is active (*) and which one was active before (-)
    List(List),
    /// Make an installed bundle the active one
    Activate(Choose),
    /// Make the bundle active again that was active before
    Rollback(At),
    /// Remove an installed bundle that is neither the active one nor the one before
    Remove(Choose),
}

/// Put a bundle into the state folder, ready to start
///
/// The bundle is verified, started on the engine and self-tested here; only then it is copied to DIR/models. TensorRT builds the
/// network for this machine, which takes minutes, and keeps it in DIR/tensorrt, so that the line starts at once.
#[derive(clap::Args)]
struct Install {
    /// The bundle
    #[arg(value_name = "NAME.apc")]
    bundle: PathBuf,
    #[command(flatten)]
    start: StartArgs,
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
    /// Beginning of the model's id or file name
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    at: At,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    model: &'a Model,
    active: bool,
    before: bool,
}

pub(super) fn run(args: Args) -> Result<Answer> {
    match args.command {
        Command::Install(args) => install(&args)?,
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

fn install(args: &Install) -> Result<()> {
    let state = args.start.state.as_ref();
    let state = state.context("--state is missing: it names the folder that the bundle is put into")?;
    let installed = progress::with_spinner("starting on the engine, which may have to build the network first", || {
        install_bundle(&args.bundle, &args.start.setup(), state)
    })?;
    if args.json {
        return output::print_json(&installed);
    }
    let Installed { path, engine, self_test_difference, .. } = &installed;
    output::print(&format!(
        "{}: installed; engine {}, {} network, self-test difference {self_test_difference:.1e}",
        path.display(),
        engine.engine,
        engine.variant
    ))
}

fn list(args: &List) -> Result<()> {
    let models = Store::at(&args.at.state).models()?;
    let is = |id: Option<&str>, model: &Model| id == Some(model.id.as_str());
    let (active, before) = (models.history.active(), models.history.before());
    let rows = models.installed.iter().map(|model| Row { model, active: is(active, model), before: is(before, model) });
    if args.json {
        return output::print_json(&rows.collect::<Vec<_>>());
    }
    for Row { model, active, before } in rows {
        let mark = match (active, before) {
            (true, _) => "*",
            (false, true) => "-",
            (false, false) => " ",
        };
        let Model { file, product, engine, variant, self_test_difference, self_test_tolerance, .. } = model;
        output::print(&format!(
            "{mark} {}  {product:16}  {engine:8}  {:5}  self-test {self_test_difference:.1e} of {self_test_tolerance:.1e}  {file}",
            models::short(&model.id),
            variant.name()
        ))?;
    }
    Ok(())
}
