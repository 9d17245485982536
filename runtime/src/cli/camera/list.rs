use anyhow::Result;
use serde::Serialize;

use crate::camera::list;
use crate::cli::answer::Answer;
use crate::cli::output;

/// List the cameras of this machine
///
/// Prints the path to use in a configuration, which stays the same over restarts, then the node and the camera's name. Exit code 1 when
/// there is none.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    device: String,
    node: String,
    card: Option<String>,
    driver: Option<String>,
    bus: Option<String>,
    error: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let rows = list::list().into_iter().map(|found| {
        let device = found.stable.first().unwrap_or(&found.node).display().to_string();
        let node = found.node.display().to_string();
        match found.identity {
            Ok(identity) => {
                let (card, driver, bus) = (Some(identity.card), Some(identity.driver), Some(identity.bus));
                Row { device, node, card, driver, bus, error: None }
            }
            Err(error) => Row { device, node, card: None, driver: None, bus: None, error: Some(error) },
        }
    });
    let rows: Vec<_> = rows.collect();
    if args.json {
        output::print_json(&rows)?;
    } else {
        for row in &rows {
            let name = row.error.as_deref().or(row.card.as_deref()).unwrap_or_default();
            output::print(&format!("{}  {}  {name}", row.device, row.node))?;
        }
    }
    Ok(if rows.is_empty() { Answer::No } else { Answer::Done })
}
