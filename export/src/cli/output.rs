//! Results and errors on the standard streams, and the exit codes.

use std::io::{self, Write};

use anyhow::{Context, Error, Result};

/// The answer of a command.
pub enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1.
    No,
}

/// Writes a result to standard output. A reader that has gone is no error.
pub fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Writes to standard error why a command failed, or why its answer is no.
pub fn print_error(error: &Error) {
    // A standard error that is closed leaves nobody to inform.
    drop(writeln!(io::stderr(), "error: {error:#}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = crate::Error::from(detector::Error::io("a.apc", "open")(denied));
        let text = format!("{:#}", Error::from(error).context("cannot start"));
        assert_eq!(text, "cannot start: a.apc: cannot open: permission denied");
    }
}
