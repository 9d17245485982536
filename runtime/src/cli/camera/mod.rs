//! `apc-runtime camera`: looking at cameras, and taking pictures with them.

mod collect;
mod grab;
mod list;
mod show;

use anyhow::Result;
use clap::Subcommand;

use crate::cli::answer::Answer;

/// Look at cameras and take pictures with them
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Grab(grab::Args),
    Collect(collect::Args),
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Grab(args) => grab::run(args),
        Command::Collect(args) => collect::run(args),
    }
}
