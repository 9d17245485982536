//! The command line of `apc-trainer`.

mod evaluate;
mod output;
mod synth;
mod train;
mod update;
mod weights;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::waiting;

/// Learns one product from good images and about ten anomalous ones.
///
/// Exit codes: 0 done, 2 could not do it. Results go to standard output, logs and progress to standard error.
#[derive(Debug, Parser)]
#[command(name = "apc-trainer", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Evaluate(evaluate::Args),
    Update(update::Args),
    Synth(synth::Args),
    Weights(weights::Args),
}

impl Command {
    /// Whether libtorch computes for it.
    fn computes(&self) -> bool {
        match self {
            Command::Train(_) | Command::Evaluate(_) | Command::Update(_) => true,
            Command::Synth(_) | Command::Weights(_) => false,
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let config = simplelog::ConfigBuilder::new()
        .set_time_format_rfc3339()
        .add_filter_ignore_str("rustls")
        .add_filter_ignore_str("ureq")
        .build();
    let mode = simplelog::TerminalMode::Stderr;
    let choice = if std::io::stderr().is_terminal() { simplelog::ColorChoice::Auto } else { simplelog::ColorChoice::Never };
    // Fails only where a logger is installed already, and none is.
    let _ = simplelog::TermLogger::init(simplelog::LevelFilter::Info, config, mode, choice);
    if args.command.computes() {
        waiting::spin_little();
    }
    let result = match &args.command {
        Command::Train(args) => train::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Update(args) => update::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Weights(args) => weights::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
