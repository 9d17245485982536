use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use detector::Detector;
use detector::file_system::Disk;
use detector::files;
use detector::picture::Picture;
use serde::Serialize;

use super::{Answer, output, seat};
use crate::commissioning::golden::{self, Finding};
use crate::commissioning::parts::each_part;
use crate::live::signals::stop_on_signals;
use config::{Config, MAIN, SourceConfig};
use store::models::{self, Model};
use store::station::Station;
use store::{Store, golden as record};

/// Carry a station over to a spare camera, and see whether it stands as it should
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(Export),
    Import(Import),
    Golden(Golden),
}

/// Write everything that a spare camera needs into one file
///
/// The line configuration, the active model and the one before, this site's thresholds, the golden part. Devices are bound by role and port: the
/// spare camera is plugged in where this one was.
#[derive(clap::Args)]
struct Export {
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
/// Everything in it is verified, and its models pass their self-test on this machine, before anything is written. Nothing that is here and
/// differs is overwritten. The configuration comes last: a service never starts with half a station.
#[derive(clap::Args)]
struct Import {
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
/// code 1 when one does not hold.
#[derive(clap::Args)]
struct Golden {
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
    golden: &'a record::Golden,
    findings: &'a [Finding],
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    match &args.command {
        Command::Export(args) => export(args),
        Command::Import(args) => import(args),
        Command::Golden(args) => golden(args),
    }
}

fn export(args: &Export) -> Result<Answer> {
    let (station, bytes) = Station::export(Disk, &args.config, &output::who(args.by.as_deref()))?;
    files::write_atomic(&args.out, &bytes)?;
    let models = station.models.iter().map(|(model, _)| model.file.as_str()).collect::<Vec<_>>().join(", ");
    output::print(&format!("{}: station {} with {models}", args.out.display(), models::short(&station.id)))?;
    Ok(Answer::Done)
}

fn import(args: &Import) -> Result<Answer> {
    let station = Station::read(&args.station)?;
    let mut setup = station.line.setup();
    // The file's relative paths lead from where it will be.
    let folder = args.config.parent().unwrap_or(std::path::Path::new(""));
    setup.machine.onnxruntime = setup.machine.onnxruntime.map(|library| folder.join(library));
    setup.machine.state = setup.machine.state.map(|state| folder.join(state));
    let test = |(_, bundle): &(Model, _)| -> Result<Model> { Ok(Model::tested(&Detector::start(bundle, &setup)?, bundle, "")) };
    let tested = station.models.iter().map(test).collect::<Result<Vec<_>>>()?;
    let store = Store::at(&args.state).lock()?;
    store.import_station(&station, &args.config, &tested, &output::who(args.by.as_deref()))?;
    output::print(&format!("{}: imported station {} of {}", args.config.display(), models::short(&station.id), station.by))?;
    for device in &station.devices {
        let there = device.port == "replay" || std::path::Path::new(&device.port).exists();
        let what = if there { "there" } else { "not there: plug the spare camera into this port" };
        output::print(&format!("{}: {}, {what}", device.role, device.port))?;
    }
    let config = args.config.display();
    output::print(&format!("next: apc-runtime check --config {config}; apc-runtime station golden --check --config {config}"))?;
    Ok(Answer::Done)
}

fn golden(args: &Golden) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let state = &config.runtime.state;
    if state.as_os_str().is_empty() {
        bail!("{}: runtime.state is not set: it names the folder that the golden part is kept in", args.config.display());
    }
    let region = Store::at(state).bundle(&config.detector.bundle)?.manifest.input.region;
    let (source, picture) = match &args.image {
        Some(path) => (path.display().to_string(), Picture::read(path)?),
        None => next_part(&config)?,
    };
    let looked_at = region.map_or_else(|| Ok(picture.pixels.clone()), |region| region.crop(&picture.pixels));
    let pixels = looked_at.context("the detector's region cannot be cut out")?;
    if args.capture {
        let png = output::png(&Picture { pixels: pixels.clone(), colour: picture.colour })?;
        let by = output::who(args.by.as_deref());
        let measures = golden::measure(&pixels);
        let capture = record::Capture { png: &png, measures, region, by: &by, source: &source };
        let golden = Store::at(state).lock()?.write_golden(MAIN, &capture)?;
        let [red, green, blue] = golden.measures.levels;
        let sharpness = golden.measures.sharpness;
        match args.json {
            true => output::print_json(&golden)?,
            false => output::print(&format!(
                "golden part captured: levels {red:.1}, {green:.1}, {blue:.1} of 255, sharpness {sharpness:.4}"
            ))?,
        }
        return Ok(Answer::Done);
    }
    let Some((golden, reference)) = Store::at(state).golden(MAIN)? else {
        bail!(
            "no golden part was captured in {}: `apc-runtime station golden --capture` while everything is right",
            state.display()
        );
    };
    if golden.region != region {
        bail!("the golden part was captured for another region of the picture than the bundle's: capture it again");
    }
    let mm = match &config.views[0].source {
        SourceConfig::Camera(camera) => camera.scene.map(|scene| scene.width_mm / f64::from(camera.width)),
        SourceConfig::Replay(_) => None,
    };
    let findings = golden::compare(&reference, &pixels, &config.golden, mm);
    let holds = findings.iter().all(|finding| finding.holds);
    if args.json {
        output::print_json(&Document { holds, golden: &golden, findings: &findings })?;
    } else {
        for Finding { what, holds, text, advice } in &findings {
            let word = if *holds { "ok" } else { "FAILED" };
            let advice = if advice.is_empty() { String::new() } else { format!(": {advice}") };
            output::print(&format!("{word:6}  {what}: {text}{advice}"))?;
        }
    }
    Ok(if holds { Answer::Done } else { Answer::No })
}

/// The next part's sound picture, and where it comes from.
fn next_part(config: &Config) -> Result<(String, Picture)> {
    let stop = stop_on_signals()?;
    let mut found = None;
    each_part(config, seat::first(config), &stop, |part| {
        match part.picture {
            Ok(picture) => found = Some((part.source, picture)),
            Err(problem) => log::warn!("part {}: {problem}", part.number),
        }
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    found.context("no part with a sound picture came")
}
