use std::path::PathBuf;

use anyhow::{Context, Result};
use config::Config;
use detector::file_system::Disk;
use detector::files;
use detector::picture::Picture;
use serde::Serialize;
use store::golden::Golden;
use store::models;
use store::station::Station;

use super::answer::Answer;
use super::{login, output};
use crate::commissioning::golden::{Comparison, Finding, GoldenPart, ShownPicture};
use crate::commissioning::spare;
use crate::live::signals::stop_on_signals;

/// Carry a station over to a spare camera, and check whether a camera stands as it stood
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(ExportArgs),
    Import(ImportArgs),
    Golden(GoldenArgs),
}

/// Write everything that a spare camera needs into one file
///
/// The line configuration, the active model and the one before, this site's thresholds, the golden part. Devices are bound by role and port: the
/// spare camera is plugged in where this one was.
#[derive(clap::Args)]
struct ExportArgs {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "NAME.station")]
    out: PathBuf,
    /// Who exports [default: the login]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Make this machine the station of a file
///
/// Everything in the file is verified, and its models pass their self-test on this machine, before anything is written. A file that is here
/// already and differs is not overwritten. The configuration comes last: a service never starts with half a station.
#[derive(clap::Args)]
struct ImportArgs {
    /// The file that `station export` wrote
    #[arg(value_name = "NAME.station")]
    station: PathBuf,
    /// Where its line configuration goes
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The state folder; runtime.state of its configuration must lead there
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Who imports, for the audit log [default: the login]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Compare the golden part with how it looked when everything was right
///
/// Position, rotation and scale in the detector's region, brightness of each channel, sharpness; limits are in [golden] of the configuration. Exit
/// code 1 when a measure is beyond its limit.
#[derive(clap::Args)]
struct GoldenArgs {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Keep the next part's picture as the reference
    #[arg(long, conflicts_with = "check")]
    capture: bool,
    /// Compare the next part with the reference
    #[arg(long, required_unless_present = "capture")]
    check: bool,
    /// Take this picture instead of the line's next part
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Who captures [default: the login]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    holds: bool,
    golden: &'a Golden,
    findings: &'a [Finding],
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    match &args.command {
        Command::Export(args) => export(args),
        Command::Import(args) => import(args),
        Command::Golden(args) => golden(args),
    }
}

fn export(args: &ExportArgs) -> Result<Answer> {
    let (station, bytes) = Station::export(Disk, &args.config, &login::name(args.by.as_deref()))?;
    files::write_atomic(&args.out, &bytes)?;
    let models = station.models.iter().map(|(model, _)| model.file.as_str()).collect::<Vec<_>>().join(", ");
    output::print(&format!("{}: station {} with {models}", args.out.display(), models::short(&station.id)))?;
    Ok(Answer::Done)
}

fn import(args: &ImportArgs) -> Result<Answer> {
    let station = Station::read(&args.station)?;
    spare::import(&station, &args.config, &args.state, &login::name(args.by.as_deref()))?;
    output::print(&format!("{}: imported station {} of {}", args.config.display(), models::short(&station.id), station.by))?;
    for device in &station.devices {
        let place = if spare::is_plugged_in(device) { "there" } else { "not there: plug the spare camera into this port" };
        output::print(&format!("{}: {}, {place}", device.role, device.port))?;
    }
    let config = args.config.display();
    output::print(&format!("next: apc-runtime check --config {config}; apc-runtime station golden --check --config {config}"))?;
    Ok(Answer::Done)
}

fn golden(args: &GoldenArgs) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let state = GoldenPart::state_folder(&config).with_context(|| args.config.display().to_string())?;
    let part = GoldenPart::new(&config, state)?;
    let shown = match &args.image {
        Some(path) => ShownPicture { source: path.display().to_string(), picture: Picture::read(path)? },
        None => {
            let stop = stop_on_signals()?;
            part.next_picture(&stop)?
        }
    };
    if args.capture {
        print_captured(&part.capture(&shown, &login::name(args.by.as_deref()))?, args.json)?;
        return Ok(Answer::Done);
    }
    let comparison = part.compare(&shown)?;
    print_comparison(&comparison, args.json)?;
    Ok(if comparison.holds() { Answer::Done } else { Answer::No })
}

fn print_captured(golden: &Golden, json: bool) -> Result<()> {
    if json {
        return output::print_json(golden);
    }
    let ([red, green, blue], sharpness) = (golden.measures.levels, golden.measures.sharpness);
    output::print(&format!("golden part captured: levels {red:.1}, {green:.1}, {blue:.1} of 255, sharpness {sharpness:.4}"))
}

fn print_comparison(comparison: &Comparison, json: bool) -> Result<()> {
    let Comparison { golden, findings } = comparison;
    if json {
        return output::print_json(&Document { holds: comparison.holds(), golden, findings });
    }
    for Finding { measure, holds, text, advice } in findings {
        let word = if *holds { "ok" } else { "FAILED" };
        let advice = if advice.is_empty() { String::new() } else { format!(": {advice}") };
        output::print(&format!("{word:6}  {measure}: {text}{advice}"))?;
    }
    Ok(())
}
