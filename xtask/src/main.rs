//! Set-up and chores of the workspace: `cargo xtask setup | demo | test | fuzz | bench | cross | machine-test`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

mod bench;
mod binaries;
mod cross;
mod demo;
mod figures;
mod files;
mod fuzz;
mod libclang;
mod libtorch;
mod machine;
mod onnxruntime;
mod process;
mod python;
mod replay;
mod setup;
mod test;
mod wheel;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Set-up and chores of the workspace.
///
/// Exit codes: 0 done, 1 the answer is no (a test failed), 2 could not do it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    Setup(setup::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Cross(cross::Args),
    MachineTest(machine::Args),
}

/// Runs the chore; `false` is an answered "no".
fn run(cli: Cli) -> Result<bool> {
    let workspace = Workspace::find()?;
    process::catch_interrupts()?;
    match cli.chore {
        Chore::Setup(args) => setup::run(&workspace, &args).map(|()| true),
        Chore::Test(args) => test::run(&workspace, &args),
        Chore::Fuzz(args) => fuzz::run(&workspace, &args),
        Chore::Demo(args) => demo::run(&workspace, &args),
        Chore::Bench(args) => bench::run(&workspace, &args),
        Chore::Cross(args) => cross::run(&workspace, &args),
        Chore::MachineTest(args) => machine::run(&workspace, &args),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
