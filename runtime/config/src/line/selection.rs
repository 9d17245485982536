use std::path::PathBuf;
use std::time::Duration;

use super::gpio::GpioLine;

/// Most GPIO lines of a code.
pub const CODE_LINES: usize = 8;

/// How the product that is made is chosen (`[line.recipe]`).
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// By levels on GPIO lines.
    Code {
        /// The GPIO lines, that of the lowest bit first.
        lines: Vec<GpioLine>,
        /// The code counts from an edge here on, not as soon as its GPIO lines are still.
        strobe: Option<GpioLine>,
        /// The GPIO lines must not change for this long before the code counts.
        settle: Duration,
    },
    /// By the product's name in a datagram to a socket.
    Socket {
        /// The socket.
        path: PathBuf,
        /// The number of the product that is made until a datagram comes.
        start: usize,
    },
}
