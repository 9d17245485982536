use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use config::Config;

use super::answer::Answer;
use super::output;
use crate::assembly::requests;
use crate::gpio;

/// Look at GPIO lines, set outputs to their safe levels, trigger by software, choose a product
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the GPIO lines of this machine
    Show,
    /// Set every output of a configuration to its safe level, e.g. after the service was killed
    Safe(ConfigFile),
    /// Trigger a part in a running service (line.trigger.mode = "software")
    Trigger(ConfigFile),
    /// Choose the product that a running service makes from now on (line.recipe.socket)
    #[command(name = "recipe")]
    Product(ProductArgs),
}

#[derive(clap::Args)]
struct ProductArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The name of a product
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    match &args.action {
        Action::Show => show()?,
        Action::Safe(ConfigFile { config: path }) => requests::set_safe(&Config::read(path)?)?,
        Action::Trigger(ConfigFile { config: path }) => {
            requests::trigger(&Config::read(path)?).with_context(|| path.display().to_string())?;
        }
        Action::Product(ProductArgs { config: ConfigFile { config: path }, name }) => {
            requests::choose_product(&Config::read(path)?, name).with_context(|| path.display().to_string())?;
        }
    }
    Ok(Answer::Done)
}

fn show() -> Result<()> {
    let listing = gpio::list();
    for line in &listing.lines {
        let name = if line.name.is_empty() { "-" } else { &line.name };
        let user = if line.user.is_empty() { "free" } else { &line.user };
        output::print(&format!("{name:20} {:20} {:4}  {user}", line.chip, line.offset))?;
    }
    for path in &listing.denied {
        output::print(&format!("{}: not allowed to look at it; is this user in the group gpio?", path.display()))?;
    }
    if listing.lines.is_empty() && listing.denied.is_empty() {
        output::print("this machine has no GPIO chip (/dev/gpiochip*)")?;
    }
    Ok(())
}
