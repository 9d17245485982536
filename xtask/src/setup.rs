//! `cargo xtask setup`: everything that cargo does not fetch itself.

use anyhow::Result;

use crate::libtorch::Libtorch;
use crate::onnxruntime;
use crate::python::Python;
use crate::workspace::Workspace;

/// Fetch what cargo does not: libtorch and ONNX Runtime, into .cache/. Done once, quick afterwards.
///
/// libtorch is the user's own where LIBTORCH or LIBTORCH_USE_PYTORCH=1 is set, else a pinned one.
#[derive(clap::Args)]
pub struct Args {
    /// Also install the Python packages that the tests use
    #[arg(long)]
    tests: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    prepare(workspace)?;
    if args.tests {
        prepare_for_tests(workspace)?;
    }
    eprintln!("setup: done");
    Ok(())
}

/// Puts libtorch and ONNX Runtime in place; returns which libtorch it is.
pub fn prepare(workspace: &Workspace) -> Result<Libtorch> {
    let _lock = workspace.lock_cache()?;
    let libtorch = Libtorch::choose(workspace);
    libtorch.prepare(workspace)?;
    onnxruntime::prepare(workspace)?;
    Ok(libtorch)
}

/// Puts the tests' Python packages in place.
pub fn prepare_for_tests(workspace: &Workspace) -> Result<Python> {
    let _lock = workspace.lock_cache()?;
    let python = Python::prepare(workspace)?;
    python.install_test_packages(workspace)?;
    Ok(python)
}
