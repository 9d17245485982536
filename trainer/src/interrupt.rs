//! Ctrl-C and SIGTERM ask long steps to stop; each step stops where its work can be resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// A request to stop, shared by all that look for it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The error of a step that has stopped on request.
#[derive(Debug, thiserror::Error)]
#[error("stopped; the run is kept: go on with --resume")]
pub struct Stopped;

impl Interrupt {
    /// Listens to SIGINT and SIGTERM; a second signal ends the program at once.
    ///
    /// # Errors
    /// When handlers cannot be installed.
    pub fn listen() -> anyhow::Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 2, flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .context("cannot listen to signals")?;
        }
        Ok(Interrupt(flag))
    }

    /// Asks to stop, as a signal does.
    #[cfg(test)]
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the program was asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails when the program was asked to stop.
    ///
    /// # Errors
    /// [`Stopped`]
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_set() { Err(Stopped) } else { Ok(()) }
    }
}
