//! Builds the settings of `[line]`.

use super::control::{delay, pulses, spacing, timings};
use super::gpio;
use super::selection::selection;
use super::trigger::trigger;
use crate::error::Problem;
use crate::line::{ControlConfig, EncoderConfig, LineSettings, Travel};
use crate::raw::{RawEncoder, RawLine, RawProduct};

/// The settings of a line with these products and this number of views.
pub(super) fn settings(raw: RawLine, products: &[(String, RawProduct)], views: usize) -> Result<LineSettings, Problem> {
    let pulses = pulses(&raw);
    let delay = delay(&raw)?;
    let spacing = spacing(&raw, delay, pulses)?;
    let timings = timings(&raw, delay, spacing, products)?;
    let trigger = trigger(raw.trigger)?;
    if (!trigger.is_a_frame() || views > 1)
        && let Travel::Time(spacing) = spacing
        && spacing < 2 * trigger.window
    {
        let problem =
            format!("must be at least twice line.trigger.window_ms ({:?}): a frame could belong to two parts", trigger.window);
        return Err(Problem::new("line.spacing_ms", problem));
    }
    let limit = |count: u32| (count > 0).then_some(count);
    let control = ControlConfig {
        timings,
        spacing,
        on_unknown: raw.on_unknown,
        stop_after_unknowns: limit(raw.stop_after_unknowns),
        stop_after_rejects: limit(raw.stop_after_rejects),
        parts: raw.parts,
        tolerance: raw.tolerance_ms,
        pulses,
        views,
    };
    Ok(LineSettings {
        control,
        trigger,
        selection: selection(raw.recipe, products)?,
        encoder: raw.encoder.map(encoder).transpose()?,
        outputs: gpio::outputs(raw.outputs)?,
        reset: raw.reset.map(|reset| gpio::line(reset, "line.reset")).transpose()?,
        heartbeat: raw.heartbeat_ms,
        stall: raw.stall_ms,
        simulated: raw.simulated,
        record: raw.record,
        priority: raw.priority,
        cpu: raw.cpu,
    })
}

fn encoder(RawEncoder { a, b, reverse, max_rate }: RawEncoder) -> Result<EncoderConfig, Problem> {
    let b = b.map(|b| gpio::line(b, "line.encoder.b")).transpose()?;
    Ok(EncoderConfig { a: gpio::line(a, "line.encoder.a")?, b, reverse, max_rate })
}
