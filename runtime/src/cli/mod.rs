//! The command line of `apc-runtime`: one file for each command with its options, the files that they name, and its output.
//! Measurements and decisions are made in [`workbench`](crate::workbench), [`commissioning`](crate::commissioning) and
//! [`assembly`](crate::assembly).

mod answer;
mod bench;
mod calibrate;
mod camera;
mod check;
mod evaluate;
mod line;
mod login;
mod model;
mod model_args;
mod output;
mod process;
mod progress;
mod run;
mod score;
mod seat;
mod station;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use config::THREADS_LIMIT;
use simplelog::LevelFilter;

use answer::Answer;

/// Judges images with a bundle that `apc-export` wrote: single files, data sets, and live on a production line.
///
/// Results go to standard output, logs and progress to standard error. Exit code 0: done; 1: the answer is no; 2: it could not be done.
#[derive(Parser)]
#[command(name = "apc-runtime", version)]
struct Cli {
    /// Threads of backbone and search [default: one for each processor]
    #[arg(long, global = true, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Score(score::Args),
    Evaluate(evaluate::Args),
    Bench(bench::Args),
    Camera(camera::Args),
    Check(check::Args),
    Run(run::Args),
    Calibrate(calibrate::Args),
    Model(model::Args),
    Station(station::Args),
    Line(line::Args),
}

/// Runs the command line and gives the exit code.
pub fn main() -> ExitCode {
    let start = Instant::now();
    let cli = Cli::parse();
    match run(cli, start) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // The reader of the results has seen enough.
        Err(error) if output::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli, start: Instant) -> Result<Answer> {
    // `camera` needs no threads and reports its progress in the log; the configuration of `run` has the settings of both.
    match &cli.command {
        Command::Camera(_) => process::start_log(LevelFilter::Info)?,
        Command::Run(_) => {}
        _ => process::prepare(cli.threads)?,
    }
    match cli.command {
        Command::Score(args) => score::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Bench(args) => bench::run(&args, start),
        Command::Camera(args) => camera::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Line(args) => line::run(&args),
        Command::Run(args) => run::run(&args, cli.threads),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Station(args) => station::run(&args),
        Command::Model(args) => model::run(args),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|threads| (1..=THREADS_LIMIT).contains(threads));
    threads.ok_or_else(|| format!("expected 1 to {THREADS_LIMIT}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn threads_are_bounded() {
        let parse = |threads| Cli::try_parse_from(["apc-runtime", "check", "--config", "x", "--threads", threads]).is_ok();
        assert!(parse("4") && !parse("0") && !parse("257") && !parse("many"));
    }
}
