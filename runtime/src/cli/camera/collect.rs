use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use detector::files;
use log::warn;
use serde::Serialize;

use super::Answer;
use crate::cli::output;
use crate::cli::parts::{Part, each_part};
use crate::cli::run::stop_on_signals;
use crate::cli::seat::SeatArgs;
use config::Config;
use store::now;

/// Save the picture of every part as a PNG file: the images to learn from
///
/// Parts are those of the line: what its trigger sees, with the one frame that shows each, or every frame where frames are parts. Lossless, and
/// decoded as live frames are: SESSION-PART.png, with a line for each part in SESSION.jsonl. A part without one sound frame takes a number and
/// gives no picture. Nothing is judged: outputs stay at their safe levels, but for the strobe. Ends after the wished number, or with Ctrl-C.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    seat: SeatArgs,
    /// The folder; made if missing
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after this many files
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Name of the session [default: seconds since 1970]
    #[arg(long, value_name = "NAME", value_parser = session)]
    session: Option<String>,
}

/// A line of SESSION.jsonl.
#[derive(Serialize)]
struct Record<'a> {
    session: &'a str,
    part: u64,
    /// Time of the trigger, or of the capture where frames are parts; seconds since 1970, UTC.
    at: f64,
    source: &'a str,
    /// The picture, or why there is none.
    file: Option<&'a str>,
    problem: Option<&'a str>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create the folder {}", args.out.display()))?;
    let session = args.session.clone().unwrap_or_else(|| now().to_string());
    let path = args.out.join(format!("{session}.jsonl"));
    let records = OpenOptions::new().create_new(true).append(true).open(&path);
    let mut records = records
        .with_context(|| format!("cannot begin {}; where it is there already, choose another --session", path.display()))?;
    let stop = stop_on_signals()?;
    let (mut parts, mut saved) = (0u64, 0u64);
    each_part(&config, args.seat.of(&config)?, &stop, |Part { number, at, source, picture }| {
        parts += 1;
        let name = format!("{session}-{number:06}.png");
        let problem = match picture {
            Ok(picture) => {
                let path = args.out.join(&name);
                if path.exists() {
                    bail!("{} is there already: choose another --session", path.display());
                }
                files::write_atomic(&path, &output::png(&picture)?)?;
                saved += 1;
                None
            }
            Err(problem) => {
                warn!("part {number}: {problem}");
                Some(problem)
            }
        };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let (file, problem) = (problem.is_none().then_some(name.as_str()), problem.as_deref());
        let record = serde_json::to_string(&Record { session: &session, part: number, at, source: &source, file, problem })?;
        writeln!(records, "{record}").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(if args.count.is_some_and(|count| saved >= count) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    records.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
    output::print(&format!("{saved} of {parts} parts saved in {}", args.out.display()))?;
    Ok(Answer::Done)
}

/// It becomes part of file names.
fn session(name: &str) -> Result<String, String> {
    let sound = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    sound.then(|| name.to_string()).ok_or_else(|| "expected letters, digits, - and _".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_file_names() {
        assert!(session("line-2_monday").is_ok());
        assert!(session("../up").is_err() && session("").is_err());
    }
}
