use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;

use super::{Answer, output};
use config::Config;
use config::line::Selection;
use config::line::LineSettings;
use config::line::TriggerBy;
use crate::gpio::{self, Outputs};

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
    Safe(Config),
    /// Tell a running service that a part is there (line.trigger.mode = "software")
    Trigger(Config),
    /// Tell a running service which product is made from now on (line.product.socket)
    Product(ProductArgs),
}

#[derive(clap::Args)]
struct ProductArgs {
    #[command(flatten)]
    config: Config,
    /// The name of a product
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(clap::Args)]
struct Config {
    /// The line configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Config {
    fn line(&self) -> Result<Option<LineSettings>> {
        Ok(Config::read(&self.config)?.line)
    }
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    match &args.action {
        Action::Show => show(),
        Action::Safe(config) => {
            // Without a line, or with a simulated one, everything is safe already.
            if let Some(line) = config.line()?.filter(|line| !line.simulated) {
                // Requesting sets the safe levels; so does dropping.
                drop(Outputs::request(&line.outputs)?);
            }
            Ok(Answer::Done)
        }
        Action::Trigger(config) => {
            let Some(LineSettings { trigger, .. }) = config.line()? else {
                bail!("{} has no [line]", config.config.display());
            };
            let TriggerBy::Socket(path) = trigger.by else {
                bail!("{}: line.trigger.mode is not \"software\"", config.config.display());
            };
            send(b"part", &path)
        }
        Action::Product(ProductArgs { config, name }) => choose(config, name),
    }
}

fn choose(Config { config: path }: &Config, name: &str) -> Result<Answer> {
    let config = Config::read(path)?;
    let product = config.line.as_ref().and_then(|line| line.product.as_ref());
    let Some(Selection::Socket { path: socket, .. }) = product else {
        bail!("{}: recipes are not chosen at a socket: there is no line.recipe.socket", path.display());
    };
    let names = config.product_names();
    ensure!(names.contains(&name), "{}: there is no recipe {name:?}; expected one of {}", path.display(), names.join(", "));
    send(name.as_bytes(), socket)
}

fn send(message: &[u8], path: &Path) -> Result<Answer> {
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(message, path));
    sent.with_context(|| format!("nobody listens at {}: is the service running?", path.display()))?;
    Ok(Answer::Done)
}

fn show() -> Result<Answer> {
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
    Ok(Answer::Done)
}
