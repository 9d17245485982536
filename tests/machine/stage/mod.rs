//! Plays the steps of one scenario.

mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, kill_process};

use crate::account::{self, Delay, Expected, Line};
use crate::bench::{Bench, CAMERA, CODE, OUTPUTS};
use crate::encoder::{self, Encoder};
use crate::feeder::{Feeder, Plug, edge};
use crate::observer::{Change, Observer};
use crate::scenario::{Scenario, Step, change};
use crate::service::{Hung, UNIT, VERDICTS, process, property, restarts, usage, verdicts, wait_until};
use crate::{clock, expected, feeder, formats, measures, shell};

/// What the service reads.
const CONFIG: &str = "/etc/apc/line1.toml";
/// So much of a program's answer is shown.
const NOTE: usize = 120;
/// One scenario and what is around it.
pub struct Stage<'a> {
    bench: &'a Bench,
    config: toml::Table,
    expected: Vec<Expected>,
    observer: Observer,
    feeder: Option<Feeder>,
    encoder: Encoder,
    hung: Option<Hung>,
    /// The last fault, and what "within" counts from: this, or a restart or start after it.
    fault: f64,
    mark: f64,
    started: Option<u32>,
    /// What is accounted for already: parts of this feeder, verdicts, changes.
    accounted: [usize; 3],
    late: Vec<f64>,
    /// When the first part of the last account came.
    first: f64,
    /// From triggers to verdicts, milliseconds, for the last account.
    latencies: Vec<f64>,
    /// What has taken how long, and parts that were good, anomalous, unknown and lost, in the present repetition.
    took: BTreeMap<&'static str, Vec<f64>>,
    parts: [usize; 4],
    repeating: bool,
    baseline: Option<(u64, usize)>,
}

impl<'a> Stage<'a> {
    /// Package, configuration and camera as the scenario wants them; the service does not run.
    pub fn new(bench: &'a Bench, scenario: &Scenario) -> Result<Stage<'a>> {
        let base = fs::read_to_string(bench.folder.join("line.toml")).context("cannot read line.toml")?;
        let mut config: toml::Table = base.parse().context("line.toml")?;
        change(&mut config, &scenario.set)?;
        let values = OUTPUTS.map(|output| bench.line(output, "value"));
        let observer = Observer::start(&values.into_iter().collect::<Result<Vec<_>>>()?)?;
        let mut stage = Stage {
            bench,
            config,
            expected: Vec::new(),
            observer,
            feeder: None,
            encoder: Encoder::start(bench)?,
            hung: None,
            fault: clock::now(),
            mark: clock::now(),
            started: None,
            accounted: [0; 3],
            late: Vec::new(),
            first: clock::now(),
            latencies: Vec::new(),
            took: BTreeMap::new(),
            parts: [0; 4],
            repeating: false,
            baseline: None,
        };
        bench.reset_camera()?;
        if scenario.installed {
            bench.install()?;
            // As they lie there, whatever the scenario changes.
            fs::write(CONFIG, base).with_context(|| format!("cannot write {CONFIG}"))?;
            stage.expected = expected::of(bench, Path::new(CONFIG))?;
            stage.configure(&toml::Table::new())?;
            shell::must(&format!("rm -f {VERDICTS}"))?;
        }
        Ok(stage)
    }

    /// Plays the steps; gives what they found out.
    pub fn play(&mut self, steps: &[Step]) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let note = self.step(step).with_context(|| format!("step {} ({step:?})", index + 1))?;
            notes.extend(note);
        }
        ensure!(self.observer.is_alive(), "the observer died");
        Ok(notes)
    }

    /// Ends everything; after a stop all outputs must rest.
    pub fn clear(&mut self) -> Result<()> {
        self.feeder = None;
        self.hung = None;
        shell::run(&format!("systemctl stop {UNIT}; systemctl reset-failed {UNIT}"))?;
        let active = active(&self.observer.changes());
        ensure!(active.is_empty(), "active though the service does not run: {active:?}");
        Ok(())
    }

    /// How long the machine has stood still since the scenario began, in seconds.
    pub fn still(&self) -> f64 {
        self.observer.still(0.0, clock::now())
    }

    fn step(&mut self, step: &Step) -> Result<Option<String>> {
        match step {
            Step::Shell { run, exit, says } => return self.shell(run, *exit, says),
            Step::Configure { set } => self.configure(set)?,
            Step::Start { within_s } => return self.start(*within_s).map(Some),
            Step::Stop {} => drop(shell::must(&format!("systemctl stop {UNIT}"))?),
            Step::Feed { every_ms, parts, picture } => self.feed(Duration::from_millis(*every_ms), *parts, *picture)?,
            Step::Wait { s } => thread::sleep(Duration::from_secs_f64(*s)),
            Step::Reset {} => edge(&self.bench.line("RESET", "pull")?)?,
            Step::Turn { pulse_ms } => {
                let period = Duration::from_millis(*pulse_ms);
                ensure!(period.is_zero() || period >= encoder::LEAST, "no pulse can come faster than every {:?}", encoder::LEAST);
                self.encoder.turn(period);
            }
            Step::Code { value } => self.code(*value)?,
            Step::Kill { signal } => {
                let process = Pid::from_raw(process()?.cast_signed()).context("process 0")?;
                self.fault();
                kill_process(process, (*signal).into()).context("cannot send the signal")?;
            }
            Step::Hang { thread } => {
                self.hung = Some(Hung::new(thread)?);
                self.fault();
            }
            Step::Release {} => self.hung = None,
            Step::Unplug { for_ms } => self.unplug(Duration::from_millis(*for_ms))?,
            Step::Control { name, value } => self.control(name, *value)?,
            Step::Formats { device, formats, within } => {
                return formats::check(&self.config, device, formats, *within).map(Some);
            }
            Step::HeartbeatStops { within_ms } => return self.heartbeat_stops(within_ms / 1e3).map(Some),
            Step::HeartbeatBeats { within_ms } => return self.heartbeat_beats(within_ms / 1e3).map(Some),
            Step::Steady { longest_ms } => return self.steady(longest_ms / 1e3).map(Some),
            Step::Output { name, active, within_ms } => return self.output(name, *active, within_ms / 1e3).map(Some),
            Step::Verdict { within_ms } => return self.verdict(within_ms / 1e3).map(Some),
            Step::Restarted { within_ms } => return self.restarted(within_ms / 1e3).map(Some),
            Step::Restarts { times } => {
                let found = restarts()?;
                ensure!(found == *times, "systemd has restarted it {found} times");
            }
            Step::SameProcess {} => {
                let found = process()?;
                ensure!(self.started == Some(found), "the main process is {found}, but {:?} was started", self.started);
            }
            Step::Account { unknown, reasons, lost, stopped } => {
                let (note, stops) = self.account(*unknown, reasons, *lost)?;
                ensure!(stops <= *stopped, "{note}: the line stopped at {stops} parts");
                return Ok(Some(note));
            }
            Step::Timing { within_ms, share } => return measures::timing(&self.late, *within_ms, *share).map(Some),
            Step::Baseline {} => self.baseline = Some(usage()?),
            Step::Growth { memory_percent, descriptors } => {
                let before = self.baseline.context("no baseline")?;
                return measures::growth(before, usage()?, *memory_percent, *descriptors).map(Some);
            }
            Step::Drift { p99_percent } => return measures::drift(&self.latencies, *p99_percent).map(Some),
            Step::Repeat { times, steps } => return self.repeat(*times, steps).map(Some),
        }
        Ok(None)
    }

    /// A fault has come.
    fn fault(&mut self) {
        self.fault = clock::now();
        self.mark = self.fault;
    }

    fn repeat(&mut self, times: u32, steps: &[Step]) -> Result<String> {
        (self.took, self.parts, self.repeating) = (BTreeMap::new(), [0; 4], true);
        for time in 1..=times {
            self.play(steps).with_context(|| format!("time {time} of {times}"))?;
        }
        self.repeating = false;
        let [good, anomalous, ..] = self.parts;
        ensure!(self.parts == [0; 4] || (good > 0 && anomalous > 0), "{}: that shows nothing", measures::count(self.parts));
        let mut notes = vec![format!("{times} times")];
        for (what, seconds) in &mut self.took {
            seconds.sort_by(f64::total_cmp);
            let (median, most) = (seconds[seconds.len() / 2] * 1e3, seconds[seconds.len() - 1] * 1e3);
            notes.push(format!("{what} after {median:.0} ms (median), {most:.0} (most)"));
        }
        notes.extend((self.parts != [0; 4]).then(|| measures::count(self.parts)));
        Ok(notes.join("; "))
    }

    fn shell(&mut self, line: &str, exit: i32, says: &[String]) -> Result<Option<String>> {
        let finished = shell::run(line)?;
        ensure!(finished.code == exit, "ended with {}:\n{}", finished.code, finished.text);
        for word in says {
            ensure!(finished.text.contains(word.as_str()), "does not say {word:?}:\n{}", finished.text);
        }
        let telling = says.first().and_then(|word| finished.text.lines().find(|line| line.contains(word.as_str())));
        Ok(telling.map(|line| line.chars().take(NOTE).collect()))
    }

    fn configure(&mut self, set: &toml::Table) -> Result<()> {
        let mut config = self.config.clone();
        change(&mut config, set)?;
        let text = toml::to_string(&config).context("cannot write the configuration")?;
        fs::write(CONFIG, text).with_context(|| format!("cannot write {CONFIG}"))
    }

    fn start(&mut self, within: f64) -> Result<String> {
        self.mark = clock::now();
        shell::must(&format!("systemctl start {UNIT}"))?;
        let seconds = self.lasted(self.mark, clock::now());
        ensure!(seconds <= within, "ready after {seconds:.1} s");
        ensure!(property("ActiveState")? == "active", "it is {}", property("ActiveState")?);
        self.started = Some(process()?);
        Ok(format!("ready after {seconds:.1} s"))
    }

    fn feed(&mut self, every: Duration, parts: usize, picture: Option<usize>) -> Result<()> {
        self.feeder = None;
        self.accounted[0] = 0;
        let feeder = self.feeder.insert(Feeder::start(self.bench, every, picture)?);
        let end = clock::now() + 2.0 * every.as_secs_f64() * parts as f64 + 60.0;
        if parts > 0 {
            wait_until(end, "the parts pass", || Ok((feeder.parts()?.len() >= parts).then_some(())))?;
        }
        Ok(())
    }

    /// One line after the other, as a controller would: the code in between is another.
    fn code(&mut self, value: u8) -> Result<()> {
        self.mark = clock::now();
        for (bit, line) in CODE.iter().enumerate() {
            let pull = self.bench.line(line, "pull")?;
            let level = if value >> bit & 1 == 1 { "pull-up" } else { "pull-down" };
            fs::write(&pull, level).with_context(|| format!("cannot write {}", pull.display()))?;
        }
        Ok(())
    }

    /// Faults of the camera take the picture before it away, too; without one it shows noise. The part that is coming still has its own.
    fn control(&mut self, name: &str, value: i64) -> Result<()> {
        if let Some(feeder) = &self.feeder {
            feeder.plug(Plug::Waiting);
            thread::sleep(2 * feeder::LEAST);
        }
        self.fault();
        shell::must(&format!("v4l2-ctl -d {CAMERA} -c {name}={value}"))?;
        self.feeder.iter().for_each(|feeder| feeder.plug(Plug::Back));
        Ok(())
    }

    fn unplug(&mut self, time: Duration) -> Result<()> {
        let feeder = self.feeder.as_ref().context("nothing holds the camera: feed first")?;
        feeder.plug(Plug::Loose);
        // Until the belt has settled: a picture that is being written would end it.
        thread::sleep(Duration::from_millis(200));
        shell::must(&format!("v4l2-ctl -d {CAMERA} -c disconnect=1"))?;
        feeder.plug(Plug::Out);
        thread::sleep(time);
        feeder.plug(Plug::Back);
        self.fault();
        Ok(())
    }

    fn account(&mut self, unknown: usize, reasons: &[String], lost: usize) -> Result<(String, usize)> {
        let parts = self.feeder.take().context("no part has passed")?.stop()?;
        self.let_through()?;
        let pulses = self.encoder.pulses();
        let line = self.line(&pulses)?;
        let (verdicts, changes) = (verdicts()?, self.observer.changes());
        let [_, old_verdicts, old_changes] = self.accounted;
        let new = &changes[old_changes..];
        let [reject, good] = [("REJECT", false), ("GOOD", true)].map(|(name, good)| {
            let number = OUTPUTS.iter().position(|output| *output == name).unwrap_or(0);
            account::pulses(new, number, good)
        });
        let fresh = verdicts.get(old_verdicts..).context("the verdict file has become shorter")?;
        for reason in fresh.iter().filter_map(|verdict| verdict.reason.as_ref()) {
            ensure!(reasons.is_empty() || reasons.contains(reason), "a part is unknown for another reason: {reason}");
        }
        let found = account::account(&parts, fresh, &[reject, good].concat(), &self.expected, line);
        self.accounted = [0, verdicts.len(), changes.len()];
        let found_parts = [found.good, found.anomalous, found.unknown, found.lost];
        let count = measures::count(found_parts);
        ensure!(found.problems.is_empty(), "{count}\n{}", found.problems[..found.problems.len().min(20)].join("\n"));
        ensure!(found.unknown <= unknown && found.lost <= lost, "{count}");
        // Of parts that come again and again, both kinds must be among all of them.
        ensure!(self.repeating || (found.good > 0 && found.anomalous > 0), "{count}: that shows nothing");
        self.late = found.late;
        self.first = parts.first().map_or(self.mark, |part| part.between.0);
        self.latencies = fresh.iter().map(|verdict| verdict.latency_ms).collect();
        self.parts.iter_mut().zip(found_parts).for_each(|(sum, found)| *sum += found);
        Ok((count, found.stopped))
    }

    /// Waits until every part has reached the actuator and its pulse is over.
    fn let_through(&self) -> Result<()> {
        let pulses = self.encoder.pulses();
        let line = self.line(&pulses)?;
        match line.delay {
            Delay::Time(delay) => thread::sleep(Duration::from_secs_f64(delay)),
            Delay::Pulses(number, _) => {
                let arrived = || Ok((self.encoder.pulses().len() > pulses.len() + number).then_some(()));
                wait_until(clock::now() + 60.0, "the belt moves to the actuator", arrived)?;
            }
        }
        thread::sleep(Duration::from_secs_f64(line.width + line.tolerance + 0.5));
        Ok(())
    }

    fn line<'b>(&self, pulses: &'b [(f64, f64)]) -> Result<Line<'b>> {
        let number = |key: &str| -> Result<f64> {
            let value = self.config.get("line").and_then(|section| section.get(key));
            let number = value.and_then(|value| value.as_float().or(value.as_integer().map(|number| number as f64)));
            number.with_context(|| format!("the configuration has no line.{key}"))
        };
        let delay = match number("delay_pulses") {
            Ok(distance) => Delay::Pulses(distance as usize, pulses),
            Err(_) => Delay::Time(number("delay_ms")? / 1e3),
        };
        Ok(Line { delay, width: 0.02, tolerance: number("tolerance_ms")? / 1e3, killed: self.fault })
    }
}

/// Outputs whose last change made them active.
fn active(changes: &[Change]) -> Vec<&'static str> {
    let last = |output: usize| changes.iter().rfind(|change| change.output == output).is_some_and(|change| change.active);
    (0..OUTPUTS.len()).filter(|output| last(*output)).map(|output| OUTPUTS[output]).collect()
}
