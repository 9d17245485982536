use std::path::PathBuf;

use anyhow::Result;
use config::Config;
use store::now;

use crate::cli::answer::Answer;
use crate::cli::output;
use crate::cli::seat::SeatArgs;
use crate::commissioning::collect::{Collected, Session, is_session_name};
use crate::live::signals::stop_on_signals;

/// Save the picture of every part as a PNG file: the images to learn from
///
/// Parts are found as on the line: each trigger makes a part, which the one frame in its window shows; where frames are parts, every frame is a
/// part. Pictures are lossless and decoded as live frames are: SESSION-PART.png, with a line for each part in SESSION.jsonl. A part without one
/// sound frame takes a number and gives no picture. Nothing is judged: outputs stay at their safe levels, but for the strobe. Ends after the
/// wished number of pictures, or with Ctrl-C.
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

pub(super) fn run(args: &Args) -> Result<Answer> {
    let config = Config::read(&args.config)?;
    let name = args.session.clone().unwrap_or_else(|| now().to_string());
    let session = Session::begin(&args.out, &name)?;
    let stop = stop_on_signals()?;
    let Collected { saved, parts } = session.collect(&config, args.seat.of(&config)?, args.count, &stop)?;
    output::print(&format!("{saved} of {parts} parts saved in {}", args.out.display()))?;
    Ok(Answer::Done)
}

fn session(name: &str) -> Result<String, String> {
    if is_session_name(name) { Ok(name.to_owned()) } else { Err("expected letters, digits, - and _".into()) }
}
