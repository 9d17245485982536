//! GPIO lines through the kernel's character device (uAPI v2).
//!
//! Lines are found by name, or by their chip's label: chip numbers change from boot to boot. Levels here are logical, *active* or not;
//! the kernel turns them into physical ones.

mod find;
mod inputs;
mod outputs;

use std::path::PathBuf;

pub use find::{Found, Listing, find, list};
pub use inputs::{InputEdge, Inputs};
pub use outputs::Outputs;

/// Whom the kernel names as the user of a line.
const CONSUMER: &str = "apc-runtime";

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum GpioError {
    /// There is no such line.
    #[error("{key}: there is no GPIO line {line}; this machine has {offered}{}", denied_note(denied))]
    Missing {
        /// Key in the configuration.
        key: String,
        /// What was looked for.
        line: String,
        /// What there is.
        offered: String,
        /// Chips that could not be looked at.
        denied: Vec<PathBuf>,
    },
    /// More than one line has the name.
    #[error("{key}: more than one GPIO line is named {line}: {chips}; say which one with chip = \"LABEL\"")]
    Ambiguous {
        /// Key in the configuration.
        key: String,
        /// What was looked for.
        line: String,
        /// Where it was found.
        chips: String,
    },
    /// Somebody else uses the line.
    #[error("{key}: the GPIO line {line} is in use by {consumer}")]
    Taken {
        /// Key in the configuration.
        key: String,
        /// The line.
        line: String,
        /// By whom.
        consumer: String,
    },
    /// The kernel refuses.
    #[error("{key}: cannot use the GPIO line {line}")]
    Refused {
        /// Key in the configuration.
        key: String,
        /// The line.
        line: String,
        /// Why.
        #[source]
        source: gpiocdev::Error,
    },
}

fn denied_note(denied: &[PathBuf]) -> String {
    if denied.is_empty() {
        return String::new();
    }
    let paths: Vec<_> = denied.iter().map(|path| path.display().to_string()).collect();
    format!("; not allowed to look at {}: is this user in the group gpio, and is the udev rule installed?", paths.join(", "))
}
