//! The command line of `apc-export`.

mod bundle;
mod inspect;
mod output;
mod progress;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use output::Answer;

/// Turns a run of the trainer into one bundle for the camera.
///
/// Exit codes: 0 done; 1 the answer is no (the parity gate or the verification failed); 2 could not do it. Results go to standard
/// output, logs and progress to standard error.
#[derive(Debug, Parser)]
#[command(name = "apc-export", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bundle(bundle::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let config = simplelog::ConfigBuilder::new().set_time_format_rfc3339().add_filter_allow_str("apc_export").build();
    // simplelog would also colour a log that goes to a file.
    let choice = if std::io::stderr().is_terminal() { simplelog::ColorChoice::Auto } else { simplelog::ColorChoice::Never };
    let mode = simplelog::TerminalMode::Stderr;
    // It fails only where a logger was set before, and none was.
    let _ = simplelog::TermLogger::init(simplelog::LevelFilter::Info, config, mode, choice);
    let result = match &args.command {
        Command::Bundle(args) => bundle::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
    };
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            output::print_error(&error);
            ExitCode::from(if matches!(error.downcast_ref(), Some(Error::Parity { .. })) { 1 } else { 2 })
        }
    }
}
