//! Results, progress and errors on the standard streams.

use std::io::{self, Cursor, Write};
use std::time::Duration;

use anyhow::{Context, Error, Result};
use detector::picture::{Colour, Picture};
use image::{DynamicImage, GrayImage, ImageFormat};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints one line of results.
pub(super) fn print(line: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("cannot write to standard output")
}

/// Prints a result as one JSON document.
pub(super) fn print_json(document: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(document).context("cannot write JSON")?)
}

/// Prints why the command could not be carried out.
pub(super) fn error(error: &Error) {
    // Nobody is left to tell when standard error is gone too.
    drop(writeln!(io::stderr().lock(), "error: {}", describe(error)));
}

/// An error and its causes, less those that the text before already tells.
pub(super) fn describe(error: &Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| if text.ends_with(&cause) { text } else { text + ": " + &cause })
        .unwrap_or_default()
}

/// A picture as a PNG file, lossless. Grey pictures stay grey files: colour is strict.
pub(super) fn png(picture: &Picture) -> Result<Vec<u8>> {
    let image = match picture.colour {
        Colour::Rgb => DynamicImage::from(picture.pixels.clone()),
        // The three channels are the same: the first is the value.
        Colour::Grey => {
            let (width, height) = picture.pixels.dimensions();
            let values: Vec<u8> = picture.pixels.pixels().map(|pixel| pixel.0[0]).collect();
            GrayImage::from_raw(width, height, values).context("a picture lacks pixels")?.into()
        }
    };
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).context("cannot encode a PNG file")?;
    Ok(png.into_inner())
}

/// Who gives this command: the name given, or the login's, also behind sudo.
pub(super) fn who(named: Option<&str>) -> String {
    let login = || ["SUDO_USER", "USER"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let who = named.map(str::to_owned).or_else(login);
    let who = who.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    who.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Whether an error means that nobody reads standard output any longer (`apc-runtime ... | head`).
pub(super) fn is_reader_gone(error: &Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A progress bar on standard error with the time that is left; hidden where that is no terminal.
pub(super) fn progress(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len}, {eta} left").unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(length as u64).with_style(style.progress_chars("=> ")).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Something that takes long and does not say how far it is, with the time that has gone.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})").unwrap_or(ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn grey_stays_grey_in_files() {
        for colour in [Colour::Grey, Colour::Rgb] {
            let pixels = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([(10 * x + y) as u8; 3]));
            let read = Picture::parse(&png(&Picture { pixels: pixels.clone(), colour }).unwrap(), Path::new("a.png")).unwrap();
            assert_eq!((read.colour, read.pixels), (colour, pixels));
        }
    }

    #[test]
    fn causes_are_told_once() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let told = describe(&Error::from(detector::Error::io("a.apc", "open")(denied())).context("cannot start"));
        assert_eq!(told, "cannot start: a.apc: cannot open: permission denied");
        assert!(is_reader_gone(&Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write")));
        assert!(!is_reader_gone(&Error::from(denied())));
    }
}
