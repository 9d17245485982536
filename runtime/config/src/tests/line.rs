//! `[line]`: defaults, and settings that are refused.

use std::path::Path;
use std::time::Duration;

use crate::Config;
use crate::line::{GpioPlace, Level, LineSettings, OnUnknown, Timing, Travel, TriggerBy};

const LEAST: &str = "[detector]\nbundle = \"a.apc\"\n[source.replay]\nimages = \"images\"\n[line]\n";

fn parse(line: &str) -> Result<LineSettings, String> {
    let config = Config::parse(Path::new("line.toml"), &format!("{LEAST}{line}\n"));
    config.map(|config| config.line.unwrap()).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(line: &str, words: &[&str]) {
    let error = parse(line).unwrap_err();
    for word in words.iter().chain(&["line "]) {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let line = parse("delay_ms = 500").unwrap();
    let ms = Duration::from_millis;
    let control = &line.control;
    assert_eq!(control.timings, [Timing { delay: Travel::Time(ms(500)), deadline: None }]);
    assert_eq!((control.spacing, control.on_unknown, control.parts), (Travel::Time(ms(20)), OnUnknown::Reject, 64));
    assert_eq!((control.stop_after_rejects, control.stop_after_unknowns, control.tolerance), (None, None, ms(5)));
    assert_eq!((line.heartbeat, line.stall, line.priority, line.simulated), (ms(100), ms(800), 50, false));
    assert_eq!((line.trigger.by, line.trigger.sensor_waits), (TriggerBy::Frame, false));
}

#[test]
fn values_out_of_bounds_are_refused() {
    refused("delay_ms = -1", &["-1", "ms"]);
    refused("delay_ms = nan", &["out of bounds"]);
    refused("delay_ms = 500\nparts = 0", &["1 to 4096"]);
    refused("delay_ms = 500\npriority = 100", &["99"]);
    refused("delay_ms = 500\non_unknown = \"maybe\"", &["maybe"]);
    refused("delay_ms = 500\ndelai = 1", &["delai"]);
    refused("delay_ms = 500\n[line.outputs.rejct]\nline = \"R\"", &["rejct"]);
}

#[test]
fn settings_in_conflict_are_refused() {
    refused("", &["line 5", "exactly one"]);
    refused("delay_ms = 500\ndelay_pulses = 5", &["exactly one"]);
    refused("delay_ms = 500\ndeadline_ms = 600", &["deadline_ms"]);
    refused("delay_ms = 500\nspacing_ms = 5", &["longest pulse"]);
    refused("delay_ms = 10", &["[line]", "at least spacing_ms"]);
    refused("delay_pulses = 100\nspacing_pulses = 10", &["encoder"]);
    refused(
        "delay_pulses = 5\nspacing_pulses = 20\n[line.encoder]\na = { line = \"A\" }\nmax_rate = 500.0",
        &["delay_pulses", "neighbour"],
    );
    let encoder = "[line.encoder]\na = { line = \"A\" }\nmax_rate = ";
    refused(&format!("delay_pulses = 100\nspacing_pulses = 10\n{encoder}1000.0"), &["longest pulse", "10ms"]);
    assert!(parse(&format!("delay_pulses = 100\nspacing_pulses = 20\n{encoder}1000.0")).is_ok());
    refused("delay_ms = 500\n[line.outputs.busy]\nline = \"B\"\nwidth_ms = 5", &["busy", "levels"]);
    refused("delay_ms = 500\n[line.outputs.good]\nchip = \"x\"", &["outputs.good", "offset"]);
    refused("delay_ms = 500\n[line.trigger]\nmode = \"gpio\"", &["trigger.input"]);
    refused("delay_ms = 500\n[line.trigger]\nevery_ms = 5", &["every_ms"]);
    let wide = "delay_ms = 500\n[line.trigger]\nmode = \"interval\"\nevery_ms = 50\nwindow_ms = 15";
    refused(wide, &["twice"]);
    let free = format!("{LEAST}delay_ms = 500\n[frames]\nbind = \"free\"\n");
    let error = Config::parse(Path::new("line.toml"), &free).unwrap_err().to_string();
    assert!(error.contains("frames.bind"), "{error}");
}

#[test]
fn hardware_triggers_are_edges_that_the_sensor_waits_for() {
    let line =
        parse("delay_ms = 500\n[line.trigger]\nmode = \"hardware\"\ninput = { chip = \"soc\", offset = 5, active = \"low\" }")
            .unwrap();
    assert!(line.trigger.sensor_waits);
    let TriggerBy::Edge { input, debounce } = line.trigger.by else { panic!() };
    assert_eq!((input.place, input.active), (GpioPlace::Numbered { chip: "soc".into(), offset: 5 }, Level::Low));
    assert_eq!(debounce, Duration::from_millis(5));
}
