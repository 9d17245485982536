//! The GPIO lines of this machine, and the search for a configured one.

use std::io;
use std::path::PathBuf;

use config::line::{Bias, GpioLine, GpioPlace, Level};
use gpiocdev::chip::Chip;
use gpiocdev::request::Config;

use super::GpioError;

/// Most names that an error lists.
const OFFERED: usize = 24;

/// A GPIO line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGpioLine {
    /// The device of its chip, valid until the next boot.
    pub chip: PathBuf,
    /// Its number on the chip.
    pub offset: u32,
    /// Its name in messages.
    pub name: String,
}

/// A GPIO line of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioLineInfo {
    /// Its name; may be empty.
    pub name: String,
    /// The label of its chip.
    pub chip: String,
    /// Its number on the chip.
    pub offset: u32,
    /// The program that uses it; empty if it is free.
    pub user: String,
    device: PathBuf,
}

/// The GPIO lines of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The GPIO lines, chip by chip.
    pub lines: Vec<GpioLineInfo>,
    /// Chips that this user may not open.
    pub denied: Vec<PathBuf>,
}

/// Lists the GPIO lines of all chips.
pub fn list() -> Listing {
    let mut listing = Listing::default();
    for device in device_files() {
        let Ok(chip) = Chip::from_path(&device) else {
            listing.denied.push(device);
            continue;
        };
        let (Ok(info), Ok(lines)) = (chip.info(), chip.line_info_iter()) else { continue };
        for line in lines.filter_map(Result::ok) {
            let user = match (line.used, line.consumer.is_empty()) {
                (false, _) => String::new(),
                (true, true) => "the kernel".into(),
                (true, false) => line.consumer,
            };
            let (chip, device) = (info.label.clone(), device.clone());
            listing.lines.push(GpioLineInfo { name: line.name, chip, offset: line.offset, user, device });
        }
    }
    listing
}

/// Finds a configured GPIO line, which must be free; `key` names it in errors.
///
/// # Errors
/// When there is no such GPIO line, more than one, or another program uses it.
pub fn find(key: &str, config: &GpioLine) -> Result<FoundGpioLine, GpioError> {
    let (key, line) = (key.to_owned(), wanted(config));
    let Listing { lines, denied } = list();
    let fits = |other: &&GpioLineInfo| match &config.place {
        GpioPlace::Named { line, chip } => *line == other.name && chip.as_ref().is_none_or(|chip| *chip == other.chip),
        GpioPlace::Numbered { chip, offset } => *chip == other.chip && *offset == other.offset,
    };
    let matching: Vec<&GpioLineInfo> = lines.iter().filter(fits).collect();
    match matching[..] {
        [] => Err(GpioError::Missing { key, line, offered: offered(&lines), denied }),
        [GpioLineInfo { user, .. }] if !user.is_empty() => Err(GpioError::Taken { key, line, consumer: user.clone() }),
        [GpioLineInfo { device, offset, .. }] => Ok(FoundGpioLine { chip: device.clone(), offset: *offset, name: line }),
        _ => {
            let chips: Vec<_> = matching.iter().map(|line| format!("{} offset {}", line.chip, line.offset)).collect();
            Err(GpioError::Ambiguous { key, line, chips: chips.join(", ") })
        }
    }
}

impl FoundGpioLine {
    /// Adds this GPIO line to a request, with its configured level and bias.
    pub(super) fn configure<'a>(&self, request: &'a mut Config, config: &GpioLine) -> &'a mut Config {
        request.on_chip(&self.chip).with_line(self.offset);
        match config.active {
            Level::High => request.as_active_high(),
            Level::Low => request.as_active_low(),
        };
        if let Some(bias) = config.bias {
            request.with_bias(match bias {
                Bias::Disabled => gpiocdev::line::Bias::Disabled,
                Bias::PullUp => gpiocdev::line::Bias::PullUp,
                Bias::PullDown => gpiocdev::line::Bias::PullDown,
            });
        }
        request
    }

    /// The error for a request that the kernel refuses.
    pub(super) fn refused(&self, key: &str, source: gpiocdev::Error) -> GpioError {
        GpioError::Refused { key: key.to_owned(), line: self.name.clone(), source }
    }
}

/// The devices of all chips. The crate `gpiocdev` leaves out chips that it may not open, but an error must name them.
fn device_files() -> Vec<PathBuf> {
    let names = |entry: io::Result<std::fs::DirEntry>| entry.ok().map(|entry| entry.path());
    let is_chip = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gpiochip"));
    let mut paths: Vec<_> = std::fs::read_dir("/dev").into_iter().flatten().filter_map(names).filter(is_chip).collect();
    paths.sort();
    paths
}

fn wanted(config: &GpioLine) -> String {
    match &config.place {
        GpioPlace::Named { line, chip: None } => format!("{line:?}"),
        GpioPlace::Named { line, chip: Some(chip) } => format!("{line:?} on the chip {chip:?}"),
        GpioPlace::Numbered { chip, offset } => format!("{offset} on the chip {chip:?}"),
    }
}

fn offered(lines: &[GpioLineInfo]) -> String {
    let mut named: Vec<_> =
        lines.iter().filter(|line| !line.name.is_empty()).map(|line| format!("{} ({})", line.name, line.chip)).collect();
    let more = named.len().saturating_sub(OFFERED);
    named.truncate(OFFERED);
    match (named.is_empty(), more) {
        (true, _) => "no named lines".into(),
        (false, 0) => named.join(", "),
        (false, more) => format!("{} and {more} more", named.join(", ")),
    }
}
