//! Results, progress and errors on the standard streams.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Error, Result};
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

    #[test]
    fn causes_are_told_once() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let told = describe(&Error::from(detector::Error::io("a.apc", "open")(denied())).context("cannot start"));
        assert_eq!(told, "cannot start: a.apc: cannot open: permission denied");
        assert!(is_reader_gone(&Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write")));
        assert!(!is_reader_gone(&Error::from(denied())));
    }
}
