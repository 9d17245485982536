//! Why there is no bundle.

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run, a file or the engine.
    #[error(transparent)]
    Detector(#[from] detector::Error),
    /// The bundle would not judge as the trained network does: the parity gate's answer is no.
    #[error(
        "parity gate: {reference}: {quantity} differs by {difference:.3e} {from}; at most {limit:.0e} is allowed. Nothing \
         was written; {advice}"
    )]
    Parity {
        /// Picture of the run.
        reference: String,
        /// Feature map, score map or image score.
        quantity: String,
        /// Relative difference; of the image AUROC the absolute one.
        difference: f32,
        /// What the exported detector was compared with, as the end of "differs by ...".
        from: &'static str,
        /// Largest accepted difference.
        limit: f32,
        /// What the user can do.
        advice: &'static str,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
