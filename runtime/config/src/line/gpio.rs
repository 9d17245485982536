//! Checked settings of GPIO lines.

use serde::Deserialize;
use verdict::Output;

/// A GPIO line, its active level and its pull resistor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioLine {
    /// Which GPIO line.
    pub place: GpioPlace,
    /// The physical level that counts as active.
    pub active: Level,
    /// Pull resistor of the chip; none leaves it as it is.
    pub bias: Option<Bias>,
}

/// Which GPIO line. Chip numbers change from boot to boot, so a GPIO line is named by its name or by the label of its chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpioPlace {
    /// By its name.
    Named {
        /// The GPIO line's name.
        line: String,
        /// The label of its chip, where several chips have a GPIO line of this name.
        chip: Option<String>,
    },
    /// By its number on a chip, for GPIO lines without a name.
    Numbered {
        /// The chip's label.
        chip: String,
        /// The number.
        offset: u32,
    },
}

/// A physical level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Near the supply.
    #[default]
    High,
    /// Near ground.
    Low,
}

/// Pull resistor of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// None.
    Disabled,
    /// To the supply.
    PullUp,
    /// To ground.
    PullDown,
}

/// The outputs that have a GPIO line; the others are not driven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpioOutputs {
    /// See [`Output::Reject`].
    pub reject: Option<GpioOutput>,
    /// See [`Output::Good`].
    pub good: Option<GpioOutput>,
    /// See [`Output::Strobe`].
    pub strobe: Option<GpioOutput>,
    /// See [`Output::Busy`].
    pub busy: Option<GpioOutput>,
    /// See [`Output::Healthy`].
    pub healthy: Option<GpioOutput>,
    /// See [`Output::Stop`].
    pub stop: Option<GpioOutput>,
}

impl GpioOutputs {
    /// The GPIO line of an output.
    pub fn get(&self, output: Output) -> Option<&GpioOutput> {
        match output {
            Output::Reject => self.reject.as_ref(),
            Output::Good => self.good.as_ref(),
            Output::Strobe => self.strobe.as_ref(),
            Output::Busy => self.busy.as_ref(),
            Output::Healthy => self.healthy.as_ref(),
            Output::Stop => self.stop.as_ref(),
        }
    }
}

/// An output's GPIO line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioOutput {
    /// The GPIO line.
    pub line: GpioLine,
    /// Its level while the service does not run.
    pub safe: Safe,
}

/// The level of an output while the service does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Safe {
    /// Inactive.
    #[default]
    Inactive,
    /// Active: a stop output then stops the line while no part is judged.
    Active,
}
