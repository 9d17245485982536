//! Why a line thread cannot start.

use std::io;
use std::path::PathBuf;

use crate::gpio::GpioError;

/// Most groups of inputs: one group for each GPIO chip.
pub(super) const GROUPS: usize = 4;

/// Why the line cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A GPIO line cannot be used.
    #[error(transparent)]
    Gpio(#[from] GpioError),
    /// The socket of the software trigger, or of the product, cannot be bound.
    #[error("{key}: cannot listen at {path}")]
    Socket {
        /// Key in the configuration.
        key: &'static str,
        /// Path of the socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The inputs lie on more chips than the line thread can poll.
    #[error("the inputs lie on {0} GPIO chips; at most {GROUPS} are possible")]
    Chips(usize),
    /// The system gives no timer.
    #[error("cannot start the line thread")]
    System(#[from] io::Error),
}
