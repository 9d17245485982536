use std::io;
use std::path::PathBuf;

use crate::gpio::GpioError;

/// Most groups of inputs; each group has a GPIO chip of its own.
pub(super) const GROUPS: usize = 4;

/// Why the line cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A GPIO line.
    #[error(transparent)]
    Gpio(#[from] GpioError),
    /// The socket of the software trigger, or of the product.
    #[error("{key}: cannot listen at {path}")]
    Socket {
        /// Key in the configuration.
        key: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Inputs on more chips than one thread looks after.
    #[error("the inputs lie on {0} GPIO chips; at most {GROUPS} are possible")]
    Chips(usize),
    /// A timer, or the thread itself.
    #[error("cannot start the line thread")]
    System(#[from] io::Error),
}
