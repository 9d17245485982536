//! Results and errors on the standard streams.

use std::io::{self, Write};

use anyhow::{Context, Error, Result};
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
    // An error cannot be reported when standard error is gone too.
    drop(writeln!(io::stderr().lock(), "error: {error:#}"));
}

/// Whether an error means that nobody reads standard output any longer (`apc-runtime ... | head`).
pub(super) fn is_reader_gone(error: &Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_cause_are_printed_once() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::from(detector::Error::io("a.apc", "open")(denied())).context("cannot start");
        let text = format!("{error:#}");
        assert_eq!(text, "cannot start: a.apc: cannot open: permission denied");
        assert!(is_reader_gone(&Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write")));
        assert!(!is_reader_gone(&Error::from(denied())));
    }
}
