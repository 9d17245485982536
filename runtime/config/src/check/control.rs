//! Checks delays, deadlines, spacing and pulses.

use std::time::Duration;

use crate::error::Problem;
use crate::line::{PulseConfig, Pulses, Timing, Travel};
use crate::raw::{RawLine, RawOutput, RawProduct};

const DEFAULT_WIDTH: Duration = Duration::from_millis(20);

/// The pulses of the pulse outputs.
pub(super) fn pulses(raw: &RawLine) -> Pulses {
    let pulse = |output: &Option<RawOutput>| PulseConfig {
        width: output.as_ref().and_then(|output| output.width_ms).unwrap_or(DEFAULT_WIDTH),
        rest: output.as_ref().and_then(|output| output.min_gap_ms).unwrap_or_default(),
    };
    let outputs = &raw.outputs;
    Pulses { reject: pulse(&outputs.reject), good: pulse(&outputs.good), strobe: pulse(&outputs.strobe) }
}

/// The delay of the line, for products that have none of their own.
pub(super) fn delay(raw: &RawLine) -> Result<Travel, Problem> {
    match (raw.delay_ms, raw.delay_pulses) {
        (Some(delay), None) => Ok(Travel::Time(delay)),
        (None, Some(delay)) => Ok(Travel::Pulses(delay)),
        _ => Err(Problem::new("[line]", "needs delay_ms or delay_pulses, the way from trigger to actuator: exactly one of them")),
    }
}

/// The least distance of two parts, in the unit of the delay.
pub(super) fn spacing(raw: &RawLine, delay: Travel, Pulses { reject, good, .. }: Pulses) -> Result<Travel, Problem> {
    let longest = reject.width.max(good.width);
    let hit = "a pulse would hit the next part";
    match (delay, raw.spacing_ms, raw.spacing_pulses, &raw.encoder) {
        (Travel::Time(_), spacing, None, _) => {
            let rested = (reject.width + reject.rest).max(good.width + good.rest);
            let spacing = spacing.unwrap_or(rested);
            if spacing < longest {
                let problem = format!("is less than the longest pulse, {longest:?}: {hit}");
                return Err(Problem::new("line.spacing_ms", problem));
            }
            Ok(Travel::Time(spacing))
        }
        (Travel::Pulses(_), None, Some(spacing), Some(encoder)) => {
            let least = Duration::from_secs_f64(f64::from(spacing) / encoder.max_rate);
            if least < longest {
                let problem =
                    format!("lasts {least:?} at line.encoder.max_rate, which is less than the longest pulse, {longest:?}: {hit}");
                return Err(Problem::new("line.spacing_pulses", problem));
            }
            Ok(Travel::Pulses(spacing))
        }
        (Travel::Time(_), ..) => Err(Problem::new("line.delay_ms", "goes with line.spacing_ms, not with line.spacing_pulses")),
        (Travel::Pulses(_), _, _, None) => Err(Problem::new("line.delay_pulses", "needs [line.encoder]")),
        (Travel::Pulses(_), ..) => {
            Err(Problem::new("line.delay_pulses", "needs line.spacing_pulses, and takes no line.spacing_ms"))
        }
    }
}

/// The timing of every product.
pub(super) fn timings(
    raw: &RawLine,
    delay: Travel,
    spacing: Travel,
    products: &[(String, RawProduct)],
) -> Result<Vec<Timing>, Problem> {
    let of_line = checked("[line]", Timing { delay, deadline: raw.deadline_ms }, spacing)?;
    if products.is_empty() {
        return Ok(vec![of_line]);
    }
    let timing = |(name, product): &(String, RawProduct)| {
        let key = format!("recipes.{name}");
        let delay = match (delay, product.delay_ms, product.delay_pulses) {
            (delay, None, None) => delay,
            (Travel::Time(_), Some(delay), None) => Travel::Time(delay),
            (Travel::Pulses(_), None, Some(delay)) => Travel::Pulses(delay),
            _ => return Err(Problem::new(key, "must give its delay as [line] does: in delay_ms, or in delay_pulses")),
        };
        checked(&key, Timing { delay, deadline: product.deadline_ms.or(raw.deadline_ms) }, spacing)
    };
    products.iter().map(timing).collect()
}

/// Checks a timing against the spacing and its own delay.
fn checked(key: &str, timing: Timing, spacing: Travel) -> Result<Timing, Problem> {
    let Timing { delay, deadline } = timing;
    let (unit, is_short) = match (delay, spacing) {
        (Travel::Time(delay), Travel::Time(spacing)) => ("ms", delay < spacing),
        (Travel::Pulses(delay), Travel::Pulses(spacing)) => ("pulses", delay < spacing),
        _ => ("ms", false),
    };
    if is_short {
        let problem = format!(
            "needs a delay_{unit} of at least spacing_{unit}: a part would be at the actuator before its neighbour is seen"
        );
        return Err(Problem::new(key, problem));
    }
    if let (Travel::Time(delay), Some(deadline)) = (delay, deadline)
        && deadline > delay
    {
        let problem = format!(
            "has a deadline_ms ({deadline:?}) later than its delay_ms ({delay:?}): the part would be past the actuator; set both"
        );
        return Err(Problem::new(key, problem));
    }
    Ok(timing)
}
