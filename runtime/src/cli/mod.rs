//! The command line: one file for each command.

mod bench;
mod calibrate;
mod camera;
mod check;
mod compare;
mod evaluate;
mod line;
mod model;
mod output;
mod parts;
mod run;
mod score;
mod seat;
mod station;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use detector::bundle::Bundle;
use detector::engine::{EngineKind, Machine, VariantChoice};
use detector::scorer::SECOND_LOOK;
use detector::{Declined, Detector, Setup, placement};
use simplelog::{ColorChoice, ConfigBuilder, LevelFilter, TermLogger, TerminalMode};

use config::SHARE_LIMIT;
use config::THREADS_LIMIT;

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

/// How a command that could be carried out ended.
enum Answer {
    Done,
    No,
}

/// Options of the commands that take a bundle.
#[derive(clap::Args)]
struct Model {
    /// The bundle
    #[arg(long, value_name = "NAME.apc")]
    model: PathBuf,
    #[command(flatten)]
    engines: EngineArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What may run a bundle.
#[derive(Clone, clap::Args)]
struct EngineArgs {
    /// Engines: tract, ort-cpu, cuda, tensorrt. Of several, the first that starts and passes the bundle's self-test
    #[arg(long, value_delimiter = ',', default_value = "tract", value_name = "ENGINE")]
    engine: Vec<EngineKind>,
    /// Which of the bundle's networks: float, int8, fused; auto takes fused on a GPU, otherwise float
    #[arg(long, default_value_t, value_name = "VARIANT")]
    variant: VariantChoice,
    /// The float network decides where the int8 one's score is within this share of the threshold; 0 nowhere
    #[arg(long, default_value_t = SECOND_LOOK, value_name = "SHARE", value_parser = share)]
    second_look: f32,
}

fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..=SHARE_LIMIT).contains(share));
    share.ok_or_else(|| format!("a share of 0 to {SHARE_LIMIT} was expected"))
}

/// What engines need of this machine.
#[derive(Clone, clap::Args)]
struct MachineArgs {
    /// ONNX Runtime's shared library [default: the environment's ORT_DYLIB_PATH]
    #[arg(long, value_name = "LIBRARY")]
    onnxruntime: Option<PathBuf>,
    /// Folder for what TensorRT builds [default: nothing is kept]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Model {
    /// Reads the bundle and brings it to life.
    fn start(&self) -> Result<(Bundle, Detector)> {
        let bundle = Bundle::read(&self.model)?;
        let detector = Detector::start(&bundle, &self.setup())?;
        Ok((bundle, detector))
    }

    fn setup(&self) -> Setup {
        let MachineArgs { onnxruntime, state } = self.machine.clone();
        let EngineArgs { engine: engines, variant, second_look } = self.engines.clone();
        Setup { engines, variant, second_look, machine: Machine { onnxruntime, state } }
    }
}

/// What judged, for JSON documents.
#[derive(serde::Serialize)]
struct Judged {
    engine: EngineKind,
    variant: &'static str,
    /// Within which share of the threshold the float network decides; left out where there is none but one network.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_look: Option<f32>,
    /// Engines that were wanted more, and why they were not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    declined: Vec<Declined>,
}

impl Judged {
    fn by(detector: &Detector) -> Judged {
        Judged {
            engine: detector.engine,
            variant: detector.variant.name(),
            second_look: (detector.second_look > 0.0).then_some(detector.second_look),
            declined: detector.declined.clone(),
        }
    }
}

/// Runs the command line and gives the exit code.
pub fn main() -> ExitCode {
    let start = Instant::now();
    let cli = Cli::parse();
    let threads = cli.threads;
    let result = match cli.command {
        Command::Score(args) => with_threads(threads).and_then(|()| score::run(&args)),
        Command::Evaluate(args) => with_threads(threads).and_then(|()| evaluate::run(&args)),
        Command::Bench(args) => with_threads(threads).and_then(|()| bench::run(&args, start)),
        Command::Camera(args) => start_log(LevelFilter::Info).and_then(|()| camera::run(&args)),
        Command::Check(args) => with_threads(threads).and_then(|()| check::run(&args)),
        Command::Line(args) => with_threads(threads).and_then(|()| line::run(&args)),
        Command::Run(args) => run::run(&args, threads),
        Command::Calibrate(args) => with_threads(threads).and_then(|()| calibrate::run(&args)),
        Command::Station(args) => with_threads(threads).and_then(|()| station::run(&args)),
        Command::Model(args) => with_threads(threads).and_then(|()| model::run(args)),
    };
    match result {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // Whoever read the results has seen enough.
        Err(error) if output::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|threads| (1..=THREADS_LIMIT).contains(threads));
    threads.ok_or_else(|| format!("expected 1 to {THREADS_LIMIT}"))
}

/// Log and threads of a command that runs once.
fn with_threads(threads: Option<usize>) -> Result<()> {
    start_log(LevelFilter::Warn)?;
    set_threads(threads.unwrap_or(0))
}

/// Sets the pool of backbone and search; 0 is one thread for each processor.
fn set_threads(threads: usize) -> Result<()> {
    placement::pool(threads).build_global().context("cannot start the threads")
}

fn start_log(level: LevelFilter) -> Result<()> {
    let config = ConfigBuilder::new().set_time_format_rfc3339().set_target_level(LevelFilter::Off).build();
    let choice = if std::io::stderr().is_terminal() { ColorChoice::Auto } else { ColorChoice::Never };
    TermLogger::init(level, config, TerminalMode::Stderr, choice).context("cannot start the log")
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
