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
    /// What line control needs to know.
    pub control: ControlConfig,
    /// What makes a part.
    pub trigger: TriggerConfig,
    /// How the product that is made is chosen; none where there is one product without a name.
    pub selection: Option<Selection>,
    /// What counts the belt's way.
    pub encoder: Option<EncoderConfig>,
    /// What is driven.
    pub outputs: GpioOutputs,
    /// An edge here releases the stop output.
    pub reset: Option<GpioLine>,
    /// Half the period of the heartbeat on `healthy`.
    pub heartbeat: Duration,
    /// A thread without progress for longer ends the heartbeat.
    pub stall: Duration,
    /// No GPIO line is touched: changes are only recorded.
    pub simulated: bool,
    /// The file that records changes of the outputs, one JSON object a line.
    pub record: Option<PathBuf>,
    /// SCHED_FIFO priority of the line thread; 0 leaves it as it is.
    pub priority: u8,
    /// Processor that the line thread is bound to.
    pub cpu: Option<usize>,
}

/// What counts the belt's way.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Line A: each edge to active is a pulse.
    pub a: GpioLine,
    /// Line B: its level gives the direction.
    pub b: Option<GpioLine>,
    /// Swaps the direction.
    pub reverse: bool,
    /// Pulses never come faster than this, per second.
    pub max_rate: f64,
}

impl LineSettings {
    /// Every GPIO line with its key.
    pub fn gpio_lines(&self) -> Vec<(String, GpioLine)> {
        let output =
            |output: Output| Some((format!("line.outputs.{}", output.word()), self.outputs.get(output)?.line.clone()));
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
    /// A part comes.
    Trigger,
    /// The belt moves.
    EncoderA,
    /// Which way the belt moves.
    EncoderB,
    /// A person has looked after the stop.
    Reset,
    /// This bit of the product's code.
    Code(u8),
    /// The product's code counts from now on.
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
