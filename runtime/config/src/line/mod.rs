//! `[line]`: trigger, line control and GPIO lines. Every key is documented in `configs/line/positive-accept.toml`.

mod control;
mod gpio;
mod selection;
mod settings;
mod trigger;

pub use control::{ControlConfig, OnUnknown, PulseConfig, Pulses, Timing, Travel};
pub use gpio::{Bias, GpioLine, GpioOutput, GpioOutputs, GpioPlace, Level, Safe};
pub use selection::{CODE_LINES, Selection};
pub use settings::{EncoderConfig, InputRole, LineSettings};
pub use trigger::{PresenceConfig, TriggerBy, TriggerConfig};
pub use verdict::Output;
