use std::convert::Infallible;

use config::line::{LineSettings, Timing, Travel};

use super::report::Report;
use crate::gpio;

/// The production line in figures, and its GPIO lines.
pub(super) fn check<E>(report: &mut Report<'_, E>, settings: &LineSettings) -> Result<(), E> {
    report.add("line", Ok::<_, Infallible>(summary(settings)))?;
    for (key, wanted) in settings.gpio_lines().into_iter().filter(|_| !settings.simulated) {
        let found = gpio::find(&key, &wanted);
        report.add("gpio", found.map(|found| format!("{} at {} offset {}", found.name, found.chip.display(), found.offset)))?;
    }
    Ok(())
}

/// Times of the line in figures that a person can compare with the machine.
fn summary(settings: &LineSettings) -> String {
    let (timings, spacing) = (&settings.control.timings, &settings.control.spacing);
    let takt = match spacing {
        Travel::Time(spacing) => format!("at most {:.1} parts per second", 1.0 / spacing.as_secs_f64()),
        Travel::Pulses(pulses) => format!("parts at least {pulses} pulses apart"),
    };
    let mut delays: Vec<String> = Vec::new();
    for Timing { delay, .. } in timings {
        let delay = match delay {
            Travel::Time(delay) => format!("{} ms", delay.as_secs_f64() * 1e3),
            Travel::Pulses(pulses) => format!("{pulses} pulses"),
        };
        if !delays.contains(&delay) {
            delays.push(delay);
        }
    }
    let delay = delays.join(" or ");
    let simulated = if settings.simulated { "; simulated: no GPIO line is driven" } else { "" };
    format!("{delay} from trigger to actuator, {takt}{simulated}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;
    use std::path::Path;

    #[test]
    fn each_delay_of_the_products_is_named_once() {
        let summary = |text: &str| {
            let text = format!("[detector]\nbundle = \"a\"\n[source.replay]\nimages = \"i\"\n{text}");
            let config = Config::parse(Path::new("line.toml"), &text).unwrap();
            summary(config.line.as_ref().unwrap())
        };
        let line = "[line]\ndelay_ms = 300\nsimulated = true\n[line.trigger]\nmode = \"frame\"\n";
        let one = summary(line);
        assert!(one.starts_with("300 ms from trigger to actuator, at most ") && one.ends_with("no GPIO line is driven"), "{one}");
        let products = "[line.recipe]\nsocket = \"s\"\nstart = \"a\"\n[recipes.a]\n[recipes.b]\n[recipes.c]\ndelay_ms = 500\n";
        let several = summary(&format!("{line}{products}"));
        assert!(several.starts_with("300 ms or 500 ms from trigger"), "{several}");
    }
}
