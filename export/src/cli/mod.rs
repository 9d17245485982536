//! The command line of `apc-export`.

mod bundle;
mod inspect;
mod progress;
mod verify;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::Error;

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

/// What a command says.
enum Answer {
    Yes,
    No,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let config = simplelog::ConfigBuilder::new().set_time_format_rfc3339().add_filter_allow_str("apc_export").build();
    // simplelog's own choice would colour files, too.
    let choice = if std::io::stderr().is_terminal() { simplelog::ColorChoice::Auto } else { simplelog::ColorChoice::Never };
    let mode = simplelog::TerminalMode::Stderr;
    // A second logger is the only way this can fail, and there is none.
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
            eprintln!("error: {error:#}");
            ExitCode::from(if matches!(error.downcast_ref(), Some(Error::Parity { .. })) { 1 } else { 2 })
        }
    }
}

/// Writes a result to standard output; a reader that has gone is no error of ours.
fn say(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
