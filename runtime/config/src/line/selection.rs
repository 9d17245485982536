//! How the product is chosen: checked settings of `[line.recipe]`.

use std::path::PathBuf;
use std::time::Duration;

use super::gpio::GpioLine;

/// Most GPIO lines of a code.
pub const CODE_LINES: usize = 8;

/// How the product that the line makes is chosen (`[line.recipe]`).
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// By levels on GPIO lines.
    Code {
        /// The GPIO lines, lowest bit first.
        lines: Vec<GpioLine>,
        /// With a strobe, the code is read after an edge on this GPIO line; without, after each change of the code.
        strobe: Option<GpioLine>,
        /// The GPIO lines must not change for this long before the code counts.
        settle: Duration,
    },
    /// By the product's name in a datagram to a socket.
    Socket {
        /// Path of the socket.
        path: PathBuf,
        /// The number of the product that the line makes until the first datagram.
        start: usize,
    },
}
