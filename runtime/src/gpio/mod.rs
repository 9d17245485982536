//! GPIO lines through the kernel's character device (uAPI v2).
//!
//! GPIO lines are found by name, or by the label of their chip and an offset: chip numbers change from boot to boot. Levels are logical
//! here, *active* or *inactive*; the kernel translates them to physical levels.

mod find;
mod inputs;
mod outputs;

use std::path::PathBuf;

pub use find::{FoundGpioLine, Listing, find, list};
pub use inputs::{InputEdge, Inputs};
pub use outputs::Outputs;

/// The name under which the kernel lists this program as the user of a GPIO line.
const CONSUMER: &str = "apc-runtime";

/// Why a GPIO line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GpioError {
    /// There is no such GPIO line.
    #[error("{key}: there is no GPIO line {line}; this machine has {offered}{}", denied_note(denied))]
    Missing {
        /// Key in the configuration.
        key: String,
        /// The GPIO line of the configuration.
        line: String,
        /// Named GPIO lines of this machine.
        offered: String,
        /// Chips that this user may not open.
        denied: Vec<PathBuf>,
    },
    /// More than one GPIO line has the name.
    #[error("{key}: more than one GPIO line is named {line}: {chips}; name the chip with chip = \"LABEL\"")]
    Ambiguous {
        /// Key in the configuration.
        key: String,
        /// The GPIO line of the configuration.
        line: String,
        /// The chips that have a GPIO line of this name.
        chips: String,
    },
    /// Another program uses the GPIO line.
    #[error("{key}: the GPIO line {line} is in use by {consumer}")]
    Taken {
        /// Key in the configuration.
        key: String,
        /// The GPIO line of the configuration.
        line: String,
        /// The user of the GPIO line.
        consumer: String,
    },
    /// The kernel refuses.
    #[error("{key}: cannot use the GPIO line {line}")]
    Refused {
        /// Key in the configuration.
        key: String,
        /// The GPIO line of the configuration.
        line: String,
        /// The kernel's error.
        #[source]
        source: gpiocdev::Error,
    },
}

fn denied_note(denied: &[PathBuf]) -> String {
    if denied.is_empty() {
        return String::new();
    }
    let paths: Vec<_> = denied.iter().map(|path| path.display().to_string()).collect();
    format!("; this user may not open {}: is the user in the group gpio, and is the udev rule installed?", paths.join(", "))
}
