//! Checked settings of a production line.

use std::path::PathBuf;
use std::time::Duration;

use verdict::Output;

use super::control::ControlConfig;
use super::gpio::{GpioLine, GpioOutputs};
use super::selection::Selection;
use super::trigger::{TriggerBy, TriggerConfig};

/// The production line around the camera.
#[derive(Clone, Debug, PartialEq)]
pub struct LineSettings {
    /// Distances, times and limits of line control.
    pub control: ControlConfig,
    /// What makes a part.
    pub trigger: TriggerConfig,
    /// How the product is chosen; none on a line without `[recipes]`.
    pub selection: Option<Selection>,
    /// The encoder that measures the belt's way.
    pub encoder: Option<EncoderConfig>,
    /// The outputs.
    pub outputs: GpioOutputs,
    /// An edge on this GPIO line makes the stop output inactive.
    pub reset: Option<GpioLine>,
    /// Half the period of the heartbeat on `healthy`.
    pub heartbeat: Duration,
    /// The heartbeat ends if a thread makes no progress for longer than this.
    pub stall: Duration,
    /// No GPIO line is requested: changes of the outputs are only recorded.
    pub simulated: bool,
    /// The file with the record of outputs, one JSON object a line.
    pub record: Option<PathBuf>,
    /// SCHED_FIFO priority of the line thread; 0 leaves it as it is.
    pub priority: u8,
    /// Processor that the line thread is bound to.
    pub cpu: Option<usize>,
}

/// An incremental encoder that measures the belt's way.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// GPIO line A: each edge to active is a pulse.
    pub a: GpioLine,
    /// GPIO line B: its level gives the direction.
    pub b: Option<GpioLine>,
    /// Swaps the direction.
    pub reverse: bool,
    /// Pulses never come faster than this, per second.
    pub max_rate: f64,
}

impl LineSettings {
    /// Every GPIO line with its key.
    pub fn gpio_lines(&self) -> Vec<(String, GpioLine)> {
        let output = |output: Output| Some((format!("line.outputs.{}", output.word()), self.outputs.get(output)?.line.clone()));
        let inputs = self.inputs().map(|(role, line)| (role.key().to_owned(), line.clone()));
        Output::ALL.into_iter().filter_map(output).chain(inputs).collect()
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = (InputRole, &GpioLine)> {
        let trigger = match &self.trigger.by {
            TriggerBy::Edge { input, .. } => Some((InputRole::Trigger, input)),
            _ => None,
        };
        let a = self.encoder.as_ref().map(|encoder| (InputRole::EncoderA, &encoder.a));
        let b = self.encoder.as_ref().and_then(|encoder| Some((InputRole::EncoderB, encoder.b.as_ref()?)));
        let reset = self.reset.as_ref().map(|reset| (InputRole::Reset, reset));
        let (code, strobe) = match &self.selection {
            Some(Selection::Code { lines, strobe, .. }) => (&lines[..], strobe.as_ref()),
            _ => (&[][..], None),
        };
        let code = (0..).zip(code).map(|(bit, line)| (InputRole::Code(bit), line));
        let strobe = strobe.map(|strobe| (InputRole::CodeStrobe, strobe));
        [trigger, a, b, reset, strobe].into_iter().flatten().chain(code)
    }
}

/// What an input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRole {
    /// An edge makes a part.
    Trigger,
    /// GPIO line A of the encoder.
    EncoderA,
    /// GPIO line B of the encoder.
    EncoderB,
    /// An edge makes the stop output inactive.
    Reset,
    /// One bit of the product's code, 0 for the lowest.
    Code(u8),
    /// An edge makes the code count.
    CodeStrobe,
}

impl InputRole {
    /// Its key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            InputRole::Trigger => "line.trigger.input",
            InputRole::EncoderA => "line.encoder.a",
            InputRole::EncoderB => "line.encoder.b",
            InputRole::Reset => "line.reset",
            InputRole::Code(_) => "line.recipe.code",
            InputRole::CodeStrobe => "line.recipe.strobe",
        }
    }
}
