//! `[line]`: trigger, line control and GPIO lines. Every key is documented in `configs/line/positive-accept.toml`.

mod choice;
mod presence;
mod raw;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use choice::{CODE_LINES, ChosenBy};
pub use presence::PresenceConfig;
use raw::{RawLine, pulse_rate, some_pulse_ms};
pub(super) use raw::{some_ms, some_pulses};

/// The production line around the camera.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawLine")]
pub struct LineSettings {
    /// What [`crate::line::Control`] needs.
    pub control: LineControlConfig,
    /// What makes a part.
    pub trigger: TriggerConfig,
    /// How the product that is made is chosen.
    pub recipe: Option<ChosenBy>,
    /// What counts the belt's way.
    pub encoder: Option<EncoderConfig>,
    /// What is driven.
    pub outputs: Outputs,
    /// An edge here releases the stop output.
    pub reset: Option<InputConfig>,
    /// Half the period of the heartbeat on `healthy`.
    pub heartbeat: Duration,
    /// A thread without progress for longer ends the heartbeat.
    pub stall: Duration,
    /// No GPIO line is touched: changes are only recorded.
    pub simulated: bool,
    /// Where changes of the outputs are recorded, one JSON object a line.
    pub record: Option<PathBuf>,
    /// SCHED_FIFO priority of the line thread; 0 leaves it as it is.
    pub priority: u8,
    /// Processor that the line thread is bound to.
    pub cpu: Option<usize>,
}

impl LineSettings {
    /// Every line with its key.
    pub fn lines(&self) -> Vec<(String, LineConfig)> {
        let output = |output: Output| Some((format!("line.outputs.{}", output.word()), self.outputs.get(output)?.line()));
        let inputs = self.inputs().map(|(role, line)| (role.key().to_owned(), line.clone()));
        Output::ALL.into_iter().filter_map(output).chain(inputs).collect()
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = (InputRole, &InputConfig)> {
        let trigger = match &self.trigger.by {
            TriggerBy::Edge { input, .. } => Some((InputRole::Trigger, input)),
            _ => None,
        };
        let a = self.encoder.as_ref().map(|encoder| (InputRole::EncoderA, &encoder.a));
        let b = self.encoder.as_ref().and_then(|encoder| Some((InputRole::EncoderB, encoder.b.as_ref()?)));
        let reset = self.reset.as_ref().map(|reset| (InputRole::Reset, reset));
        let (code, strobe) = match &self.recipe {
            Some(ChosenBy::Code { lines, strobe, .. }) => (&lines[..], strobe.as_ref()),
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
    /// Which way it moves.
    EncoderB,
    /// A person has looked after the stop.
    Reset,
    /// This bit of the recipe's code.
    Code(u8),
    /// The recipe's code counts from now on.
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

/// What [`crate::line::Control`] needs.
#[derive(Clone, Debug, PartialEq)]
pub struct LineControlConfig {
    /// From trigger to actuator.
    pub delay: Travel,
    /// An answer that comes later than this after the trigger is none. Without it, the actuator is the deadline.
    pub deadline: Option<Duration>,
    /// Parts closer than this cannot be told apart at the actuator.
    pub spacing: Travel,
    /// What happens to a part that is unknown.
    pub on_unknown: OnUnknown,
    /// So many unknown parts in a row raise the stop output.
    pub stop_after_unknowns: Option<u32>,
    /// So many rejects in a row raise the stop output.
    pub stop_after_rejects: Option<u32>,
    /// Most parts in transit.
    pub parts: usize,
    /// A pulse that would come later than this after its time is not given: the line stops instead.
    pub tolerance: Duration,
    /// Pulses of reject, good and strobe.
    pub pulses: [PulseConfig; 3],
    /// Cameras that look at each part.
    pub views: usize,
    /// What takes the place of `delay` and `deadline` while a recipe is made; empty without recipes.
    pub recipes: Vec<Timing>,
}

/// A part's way from its trigger to the actuator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From trigger to actuator.
    pub delay: Travel,
    /// An answer that comes later than this after the trigger is none.
    pub deadline: Option<Duration>,
}

impl LineControlConfig {
    /// The way of a recipe's parts.
    pub fn timing(&self, recipe: usize) -> Timing {
        let LineControlConfig { delay, deadline, .. } = *self;
        self.recipes.get(recipe).copied().unwrap_or(Timing { delay, deadline })
    }

    /// The ways of all recipes' parts.
    pub fn timings(&self) -> impl Iterator<Item = Timing> + '_ {
        (0..self.recipes.len().max(1)).map(|recipe| self.timing(recipe))
    }

    /// How an output pulses.
    pub fn pulse(&self, output: Output) -> PulseConfig {
        match output {
            Output::Reject => self.pulses[0],
            Output::Good => self.pulses[1],
            _ => self.pulses[2],
        }
    }
}

/// How an output pulses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseConfig {
    /// How long it is active.
    pub width: Duration,
    /// Least time between two pulses.
    pub rest: Duration,
}

/// A distance on the belt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// At constant speed.
    Time(Duration),
    /// In pulses of the encoder, at any speed.
    Pulses(u32),
}

/// What happens to a part that is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It is rejected.
    #[default]
    Reject,
    /// It passes.
    Pass,
    /// The line stops.
    Stop,
}

/// Outputs of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A pulse for each part that is rejected.
    Reject,
    /// A pulse for each part that passes.
    Good,
    /// A pulse with each trigger.
    Strobe,
    /// Active while a part waits for its answer.
    Busy,
    /// A square wave while everything works.
    Healthy,
    /// Active from a reason to stop until the reset.
    Stop,
}

impl Output {
    /// All of them.
    pub const ALL: [Output; 6] = [Output::Reject, Output::Good, Output::Strobe, Output::Busy, Output::Healthy, Output::Stop];

    /// Its name in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Output::Reject => "reject",
            Output::Good => "good",
            Output::Strobe => "strobe",
            Output::Busy => "busy",
            Output::Healthy => "healthy",
            Output::Stop => "stop",
        }
    }
}

/// A GPIO line, by its name or by its chip's label and its offset there. Chip numbers change from boot to boot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// The line's name.
    pub line: Option<String>,
    /// The chip's label; with `line`, only this chip's line of that name is meant.
    pub chip: Option<String>,
    /// The line's number on the chip, for lines without a name.
    pub offset: Option<u32>,
    /// The physical level that counts as active.
    #[serde(default)]
    pub active: Level,
    /// Pull resistor of the chip.
    pub bias: Option<Bias>,
}

/// An input. For now just a line.
pub type InputConfig = LineConfig;

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

/// What is driven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outputs {
    /// See [`Output::Reject`].
    pub reject: Option<OutputConfig>,
    /// See [`Output::Good`].
    pub good: Option<OutputConfig>,
    /// See [`Output::Strobe`].
    pub strobe: Option<OutputConfig>,
    /// See [`Output::Busy`].
    pub busy: Option<OutputConfig>,
    /// See [`Output::Healthy`].
    pub healthy: Option<OutputConfig>,
    /// See [`Output::Stop`].
    pub stop: Option<OutputConfig>,
}

impl Outputs {
    /// The configuration of an output.
    pub fn get(&self, output: Output) -> Option<&OutputConfig> {
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

/// An output's line and pulse.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// The line's name.
    line: Option<String>,
    chip: Option<String>,
    offset: Option<u32>,
    #[serde(default)]
    active: Level,
    bias: Option<Bias>,
    /// Whether the output is active while the service does not run.
    #[serde(default)]
    pub safe: Safe,
    /// Length of a pulse; for reject, good and strobe.
    #[serde(default, deserialize_with = "some_pulse_ms")]
    width_ms: Option<Duration>,
    /// Least time between two pulses; for reject, good and strobe.
    #[serde(default, deserialize_with = "some_ms")]
    min_gap_ms: Option<Duration>,
}

impl OutputConfig {
    /// Its line.
    pub fn line(&self) -> LineConfig {
        let OutputConfig { line, chip, offset, active, bias, .. } = self.clone();
        LineConfig { line, chip, offset, active, bias }
    }
}

/// The level of an output while the service does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Safe {
    /// As if nothing were said.
    #[default]
    Inactive,
    /// Speaks though nobody is there; for a stop output.
    Active,
}

/// What makes a part.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerConfig {
    /// What makes a part.
    pub by: TriggerBy,
    /// Whether the sensor waits for a trigger and gives one frame for each.
    pub sensor_waits: bool,
    /// From trigger to exposure.
    pub exposure: Duration,
    /// How far a frame may be from that time.
    pub window: Duration,
}

impl TriggerConfig {
    /// Whether a frame of the first camera makes the part that it shows.
    pub fn is_a_frame(&self) -> bool {
        matches!(self.by, TriggerBy::Frame | TriggerBy::Presence(_))
    }
}

/// What makes a part.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerBy {
    /// Each frame is a part.
    Frame,
    /// What appears in the picture.
    Presence(PresenceConfig),
    /// An edge on a line.
    Edge {
        /// Which line.
        input: InputConfig,
        /// Edges within this time of the last are bounces.
        debounce: Duration,
    },
    /// The clock.
    Interval(Duration),
    /// A datagram to this socket.
    Socket(PathBuf),
}

/// What counts the belt's way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// Line A: each edge to active is a pulse.
    pub a: InputConfig,
    /// Line B: tells the direction.
    pub b: Option<InputConfig>,
    /// Swaps the direction.
    #[serde(default)]
    pub reverse: bool,
    /// Pulses a second that never come faster.
    #[serde(deserialize_with = "pulse_rate")]
    pub max_rate: f64,
}
