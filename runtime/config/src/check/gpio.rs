//! Checks GPIO lines and outputs.

use verdict::Output;

use crate::error::Problem;
use crate::line::{GpioLine, GpioOutput, GpioOutputs, GpioPlace};
use crate::raw::{RawGpioLine, RawOutput, RawOutputs};

/// A GPIO line; `key` names it in errors.
pub(super) fn line(raw: RawGpioLine, key: &str) -> Result<GpioLine, Problem> {
    let RawGpioLine { line, chip, offset, active, bias } = raw;
    let place = match (line, chip, offset) {
        (Some(line), chip, None) => GpioPlace::Named { line, chip },
        (None, Some(chip), Some(offset)) => GpioPlace::Numbered { chip, offset },
        _ => {
            let expected = "needs line = \"NAME\", or chip = \"LABEL\" and offset = N for a GPIO line without a name";
            return Err(Problem::new(key, expected));
        }
    };
    Ok(GpioLine { place, active, bias })
}

/// Every output that has a GPIO line.
pub(super) fn outputs(raw: RawOutputs) -> Result<GpioOutputs, Problem> {
    let output = |output: Output, raw: Option<RawOutput>| raw.map(|raw| self::output(output, raw)).transpose();
    Ok(GpioOutputs {
        reject: output(Output::Reject, raw.reject)?,
        good: output(Output::Good, raw.good)?,
        strobe: output(Output::Strobe, raw.strobe)?,
        busy: output(Output::Busy, raw.busy)?,
        healthy: output(Output::Healthy, raw.healthy)?,
        stop: output(Output::Stop, raw.stop)?,
    })
}

fn output(output: Output, raw: RawOutput) -> Result<GpioOutput, Problem> {
    let key = format!("line.outputs.{}", output.word());
    let RawOutput { line: name, chip, offset, active, bias, safe, width_ms, min_gap_ms } = raw;
    let gives_pulses = matches!(output, Output::Reject | Output::Good | Output::Strobe);
    if !gives_pulses && (width_ms.is_some() || min_gap_ms.is_some()) {
        return Err(Problem::new(key, "gives levels, not pulses: it takes no width_ms and min_gap_ms"));
    }
    Ok(GpioOutput { line: line(RawGpioLine { line: name, chip, offset, active, bias }, &key)?, safe })
}
