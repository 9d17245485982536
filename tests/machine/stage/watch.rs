//! What must come in time. Times leave out what the whole machine stood still for, because its host had other work.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Stage, active};
use crate::account::Verdict;
use crate::bench::OUTPUTS;
use crate::clock;
use crate::service::{process, property, verdicts};

/// An output that rests for so long, several periods of the heartbeat, has stopped.
const REST: f64 = 0.4;
/// Changes of the heartbeat in a row that make it regular.
const BEATS: usize = 6;
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

impl Stage<'_> {
    /// Seconds from one time to another.
    pub(super) fn lasted(&self, from: f64, to: f64) -> f64 {
        to - from - self.observer.still(from, to)
    }

    /// Looks again and again, until so long after the mark.
    fn wait_within<T>(&self, within: f64, what: &str, mut done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            if let Some(found) = done()? {
                return Ok(found);
            }
            let seconds = self.lasted(self.mark, clock::now());
            if seconds > within {
                bail!("{what}: not within {seconds:.1} s");
            }
            thread::sleep(LOOK);
        }
    }

    /// Remembers after how long something came, and says it.
    fn took(&mut self, what: &'static str, from: f64, to: f64) -> String {
        let seconds = self.lasted(from, to);
        self.took.entry(what).or_default().push(seconds);
        format!("{what} after {:.0} ms", seconds * 1e3)
    }

    /// Changes of the heartbeat since a time.
    fn beats(&self, since: f64) -> Vec<f64> {
        let changes = self.observer.changes().into_iter().filter(|change| OUTPUTS[change.output] == "HEALTHY");
        changes.map(|change| change.between.1).filter(|at| *at > since).collect()
    }

    pub(super) fn heartbeat_stops(&mut self, within: f64) -> Result<String> {
        while self.lasted(self.mark, clock::now()) < within + REST {
            thread::sleep(LOOK);
        }
        let last = self.beats(self.mark).pop().unwrap_or(self.mark);
        let seconds = self.lasted(self.mark, last);
        ensure!(seconds <= within, "it still beat after {:.0} ms", seconds * 1e3);
        Ok(self.took("no heartbeat any more", self.mark, last))
    }

    pub(super) fn heartbeat_beats(&mut self, within: f64) -> Result<String> {
        let regular = |beats: &[f64]| beats.windows(2).all(|pair| (0.05..0.2).contains(&self.lasted(pair[0], pair[1])));
        // What still beat when the fault came does not count.
        let since = clock::now();
        let first = self.wait_within(within, "a regular heartbeat", || {
            Ok(self.beats(since).windows(BEATS).find(|beats| regular(beats)).map(|beats| beats[0]))
        })?;
        Ok(self.took("heartbeat", self.mark, first))
    }

    pub(super) fn steady(&self, longest: f64) -> Result<String> {
        let beats = self.beats(self.first);
        let pause = beats.windows(2).map(|pair| self.lasted(pair[0], pair[1])).fold(0.0, f64::max);
        let text = format!("{} beats, the longest pause {:.0} ms", beats.len(), pause * 1e3);
        ensure!(beats.len() >= BEATS && pause <= longest, "{text}");
        Ok(text)
    }

    /// An output has the level at some time after the fault.
    pub(super) fn output(&self, name: &str, level: bool, within: f64) -> Result<String> {
        let number = OUTPUTS.iter().position(|output| *output == name).with_context(|| format!("no output {name}"))?;
        let found = self.wait_within(within, &format!("{name} becomes {level}"), || {
            let changes = self.observer.changes();
            let after = changes.iter().filter(|change| change.output == number && change.between.1 > self.mark);
            let mut after = after.filter(|change| change.active == level);
            let is_so_already = active(&changes).contains(&OUTPUTS[number]) == level;
            Ok(after.next().map(|change| change.between.1).or(is_so_already.then_some(self.mark)))
        })?;
        let word = if level { "active" } else { "inactive" };
        Ok(format!("{name} is {word} after {:.0} ms", self.lasted(self.mark, found) * 1e3))
    }

    /// From then on the time of the start counts, as systemd tells it.
    pub(super) fn restarted(&mut self, within: f64) -> Result<String> {
        let at = self.wait_within(within, "another main process", || {
            let at = property("ExecMainStartTimestampMonotonic")?.parse::<f64>();
            let at = at.context("systemd tells no time of the start")? / 1e6;
            Ok((at > self.mark && process().is_ok()).then_some(at))
        })?;
        let fault = std::mem::replace(&mut self.mark, at);
        Ok(self.took("restarted", fault, at))
    }

    pub(super) fn verdict(&mut self, within: f64) -> Result<String> {
        let first = self.wait_within(within, "a verdict on a part that came after the fault", || {
            let scored = |verdict: &Verdict| verdict.score.is_some() && verdict.captured > self.mark;
            Ok(verdicts()?.into_iter().find(scored).map(|_| clock::now()))
        })?;
        Ok(self.took("a verdict", self.mark, first))
    }
}
