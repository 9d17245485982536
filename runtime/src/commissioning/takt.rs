//! Whether the detector keeps up with the line: its latency is measured and compared with the demand of the configuration.

use std::time::{Duration, Instant};

use config::line::{Travel, TriggerBy, TriggerConfig};
use config::{Binding, Config, SourceConfig};
use detector::bundle::Bundle;
use detector::{Detector, Error, Result};

/// Verdicts before the measurement: the first ones are slower.
const WARM_UP: usize = 2;
/// Verdicts that are measured.
const MEASURED: usize = 10;

/// The demand of a configuration.
#[derive(Debug, Default, PartialEq)]
struct Demand {
    /// Parts in a second, and the key that demands them.
    parts: Option<(f64, &'static str)>,
    /// From the trigger to the verdict at most, and the key that demands it.
    answer: Option<(Duration, &'static str)>,
    /// From the trigger until its frame is found.
    wait: Duration,
}

/// Measures how long verdicts take. Each reference is judged with its own score as the threshold, because a second look makes verdicts
/// near the threshold longer.
///
/// # Errors
/// When a reference cannot be read, or the detector fails.
pub fn measure(detector: &mut Detector, bundle: &Bundle) -> Result<Vec<Duration>> {
    let references = &bundle.manifest.self_test.references;
    let mut times = Vec::with_capacity(MEASURED);
    for (number, reference) in references.iter().cycle().take(WARM_UP + MEASURED).enumerate() {
        let picture = bundle.reference(reference)?;
        let score = detector.scorer().score_prepared(&picture)?.score;
        let (mut extractor, scorer) = detector.stages();
        let start = Instant::now();
        scorer.score(extractor.extract_prepared(&picture)?.with_threshold(score))?;
        if number >= WARM_UP {
            times.push(start.elapsed());
        }
    }
    Ok(times)
}

/// Compares measured times of a product's views with the demand of the line. `frames` is the rate of the first source.
///
/// # Errors
/// When parts come faster than verdicts, or a verdict would be late. The text has the figures.
pub fn check(views: &[&[Duration]], config: &Config, product: usize, frames: Option<f64>) -> Result<String> {
    let times: Vec<Duration> = (0..MEASURED).map(|number| views.iter().filter_map(|times| times.get(number)).sum()).collect();
    hold(&times, &Demand::of(config, product, frames))
}

impl Demand {
    fn of(config: &Config, product: usize, frames: Option<f64>) -> Demand {
        let scene = match &config.views[0].source {
            SourceConfig::Camera(camera) => camera.scene,
            SourceConfig::Replay(_) => None,
        };
        let trigger = config.line.as_ref().map(|line| &line.trigger);
        let each_frame = config.frames.bind == Binding::Part && trigger.is_none_or(|trigger| trigger.by == TriggerBy::Frame);
        let parts = match (scene, trigger.map(|trigger| &trigger.by)) {
            (Some(scene), _) => Some((scene.parts_per_second, "scene.parts_per_second")),
            (None, Some(TriggerBy::Interval(every))) => Some((1.0 / every.as_secs_f64(), "line.trigger.every_ms")),
            _ => frames.filter(|_| each_frame).map(|rate| (rate, "each frame is a part")),
        };
        let timing = config.line.as_ref().map(|line| line.control.timing(product));
        let answer = timing.and_then(|timing| match (timing.deadline, timing.delay) {
            (Some(deadline), _) => Some((deadline, "line.deadline_ms")),
            (None, Travel::Time(delay)) => Some((delay, "line.delay_ms")),
            (None, Travel::Pulses(_)) => None,
        });
        // A frame that is the part itself is not waited for; other views of it are.
        let waits = |trigger: &&TriggerConfig| !trigger.is_a_frame() || config.views.len() > 1;
        Demand { parts, answer, wait: trigger.filter(waits).map_or(Duration::ZERO, |trigger| wait(trigger, frames)) }
    }
}

/// From a trigger until its frame is found. Where the camera runs freely, only the frame after the window shows that no second frame lies
/// in the window.
fn wait(trigger: &TriggerConfig, frames: Option<f64>) -> Duration {
    let period = frames.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
    trigger.exposure + trigger.window + if trigger.sensor_waits { Duration::ZERO } else { period }
}

fn hold(times: &[Duration], demand: &Demand) -> Result<String> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let slowest = times.iter().copied().max().unwrap_or_default();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
    let possible = 1.0 / mean.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut text = format!("a verdict takes {:.0} ms, at most {:.0}: {possible:.1} parts per second", ms(mean), ms(slowest));
    let advice = "a faster engine, more threads or a smaller network would help: see `apc-runtime bench`";
    if let Some((parts, key)) = demand.parts {
        if parts > possible {
            return Err(Error::invalid(format!("{text}, but {parts:.1} come ({key}); {advice}")));
        }
        text += &format!(", {parts:.1} come");
    }
    if let Some((answer, key)) = demand.answer {
        let found = if demand.wait.is_zero() {
            String::new()
        } else {
            format!(" its frame is found after {:.0} ms, and", ms(demand.wait))
        };
        if demand.wait + slowest > answer {
            let problem = format!(
                "{text}; {key} leaves {:.0} ms from a part's trigger,{found} the verdict would be late; {advice}",
                ms(answer)
            );
            return Err(Error::invalid(problem));
        }
        text += &format!("; {:.0} ms to spare before {key}", ms(answer - demand.wait - slowest));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn demand(text: &str, frames: f64) -> Demand {
        let text = format!("[detector]\nbundle = \"a\"\n{text}");
        Demand::of(&Config::parse(Path::new("line.toml"), &text).unwrap(), 0, Some(frames))
    }

    #[test]
    fn the_demand_follows_from_the_configuration() {
        let replay = "[source.replay]\nimages = \"i\"\n";
        assert_eq!(demand(replay, 10.0), Demand { parts: Some((10.0, "each frame is a part")), ..Demand::default() });
        assert_eq!(demand(&format!("{replay}[frames]\nbind = \"free\"\n"), 10.0), Demand::default());
        let line =
            format!("{replay}[line]\ndelay_ms = 500\n[line.trigger]\nmode = \"interval\"\nevery_ms = 250\nwindow_ms = 10\n");
        let expected =
            Demand { parts: Some((4.0, "line.trigger.every_ms")), answer: Some((ms(500), "line.delay_ms")), wait: ms(10 + 40) };
        assert_eq!(demand(&line, 25.0), expected);
    }

    #[test]
    fn a_line_that_is_too_fast_is_refused_with_numbers() {
        let times = [ms(100), ms(100), ms(160)];
        let asked =
            |parts, answer| hold(&times, &Demand { parts: Some((parts, "a")), answer: Some((ms(answer), "b")), wait: ms(40) });
        assert_eq!(
            asked(8.0, 300).unwrap(),
            "a verdict takes 120 ms, at most 160: 8.3 parts per second, 8.0 come; 100 ms to spare before b"
        );
        let error = asked(9.0, 300).unwrap_err().to_string();
        assert!(error.contains("8.3 parts per second, but 9.0 come (a)"), "{error}");
        let error = asked(8.0, 190).unwrap_err().to_string();
        assert!(error.contains("b leaves 190 ms") && error.contains("after 40 ms"), "{error}");
    }
}
