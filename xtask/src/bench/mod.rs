//! `cargo xtask bench`: the figures in README and docs, each by one command.

mod banks;
mod engines;
mod learning;
mod peers;
mod product;
mod pulses;
mod search;
mod service;
mod stages;
mod trial;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

/// Measure accuracy and speed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    Engines(engines::Args),
    Learning(learning::Args),
    Product(product::Args),
    Peers(peers::Args),
    Pulses(pulses::Args),
    Search(search::Args),
    Service(service::Args),
    Stages(stages::Args),
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    match &args.bench {
        Bench::Engines(args) => engines::run(workspace, args).map(|()| true),
        Bench::Learning(args) => learning::run(workspace, args).map(|()| true),
        Bench::Product(args) => product::run(workspace, args).map(|()| true),
        Bench::Peers(args) => peers::run(workspace, args).map(|()| true),
        Bench::Pulses(args) => pulses::run(workspace, args),
        Bench::Search(args) => search::run(workspace, args).map(|()| true),
        Bench::Service(args) => service::run(workspace, args).map(|()| true),
        Bench::Stages(args) => stages::run(workspace, args),
    }
}
