//! `cargo xtask setup`: the libraries that cargo does not fetch itself.

use anyhow::Result;

use crate::libclang;
use crate::libtorch::Libtorch;
use crate::onnxruntime;
use crate::python::Python;
use crate::workspace::Workspace;

/// Fetch the libraries that cargo does not: libtorch, ONNX Runtime and libclang, into .cache/. Quick once they are there.
///
/// libtorch is the user's own where LIBTORCH or LIBTORCH_USE_PYTORCH=1 is set, else a pinned one; libclang where LIBCLANG_PATH is set.
#[derive(clap::Args)]
pub struct Args {
    /// Only libclang, which building the camera's program needs
    #[arg(long, conflicts_with = "tests")]
    camera: bool,
    /// Also install the Python packages that the tests use
    #[arg(long)]
    tests: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.camera {
        prepare_for_camera(workspace)?;
    } else {
        prepare(workspace)?;
    }
    if args.tests {
        prepare_for_tests(workspace)?;
    }
    eprintln!("setup: done");
    Ok(())
}

/// Puts libtorch, ONNX Runtime and libclang in place; returns which libtorch it is.
pub fn prepare(workspace: &Workspace) -> Result<Libtorch> {
    let _lock = workspace.lock_cache()?;
    let libtorch = Libtorch::choose(workspace);
    libtorch.prepare(workspace)?;
    onnxruntime::prepare(workspace)?;
    libclang::prepare(workspace)?;
    Ok(libtorch)
}

/// Puts libclang in place, with which the camera's program is built.
pub fn prepare_for_camera(workspace: &Workspace) -> Result<()> {
    let _lock = workspace.lock_cache()?;
    libclang::prepare(workspace)
}

/// Puts the tests' Python packages in place.
pub fn prepare_for_tests(workspace: &Workspace) -> Result<Python> {
    let _lock = workspace.lock_cache()?;
    let python = Python::prepare(workspace)?;
    python.install_test_packages(workspace)?;
    Ok(python)
}
