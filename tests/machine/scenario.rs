//! Scenarios as they are written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

/// What is done to the camera service, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// Keys of the line configuration that differ from `line.toml`, e.g. `"line.delay_ms" = 300.0`.
    #[serde(default)]
    pub set: toml::Table,
    /// Whether the package is there at the start.
    #[serde(default = "yes")]
    pub installed: bool,
    /// In this order; the first that fails ends the scenario.
    pub steps: Vec<Step>,
}

/// A thing to do or to see. "Within" counts from the last fault (`kill`, `hang`, `unplug`, `control`), restart, code or start.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A line of shell ends with this code and prints all of these words.
    Shell {
        run: String,
        #[serde(default)]
        exit: i32,
        #[serde(default)]
        says: Vec<String>,
    },
    /// Writes the configuration anew, with these keys changed.
    Configure { set: toml::Table },
    /// Starts the service; it is ready in time.
    Start { within_s: f64 },
    /// Stops the service.
    Stop {},
    /// Parts pass from now on, all with the same `picture` if one is named; with `parts`, waits for so many.
    Feed {
        every_ms: u64,
        #[serde(default)]
        parts: usize,
        picture: Option<usize>,
    },
    /// Nothing is done for a while.
    Wait { s: f64 },
    /// An edge on the input that releases the stop output.
    Reset {},
    /// The belt moves: a pulse of its encoder so often. 0 stops it.
    Turn { pulse_ms: u64 },
    /// Another product is made: its code on the code lines.
    Code { value: u8 },
    /// Sends a signal to the service's main process.
    Kill { signal: Kill },
    /// One thread of the service stands still from now on.
    Hang { thread: String },
    /// What held the thread lets go: only then can a process that was killed end.
    Release {},
    /// The camera is gone for so long.
    Unplug { for_ms: u64 },
    /// Sets a control of the simulated camera.
    Control { name: String, value: i64 },
    /// The test picture of a simulated camera is the same in each of these formats, within so much of 255.
    Formats { device: String, formats: Vec<String>, within: f64 },
    /// The heartbeat ends in time, and does not come back at once.
    HeartbeatStops { within_ms: f64 },
    /// The heartbeat beats regularly, in time.
    HeartbeatBeats { within_ms: f64 },
    /// It has beaten since the first part of the last account, never with a longer pause. (Before, the simulated camera may stand still
    /// because its belt begins, and the service with it.)
    Steady { longest_ms: f64 },
    /// An output has this level at some time since the fault.
    Output { name: String, active: bool, within_ms: f64 },
    /// A part that came after the fault has been judged in time.
    Verdict { within_ms: f64 },
    /// systemd has started another main process in time.
    Restarted { within_ms: f64 },
    /// systemd has started the service anew so often since the start.
    Restarts { times: u32 },
    /// The main process is the one of the start.
    SameProcess {},
    /// Every part until now is accounted for: one verdict, right for its picture, and the right pulse at the right time. At most so many
    /// may be unknown, for these reasons (any, if none is named), or have no verdict because the service was down, or stop the line
    /// because the whole machine stood still.
    Account {
        #[serde(default)]
        unknown: usize,
        #[serde(default)]
        reasons: Vec<String>,
        #[serde(default)]
        lost: usize,
        #[serde(default)]
        stopped: usize,
    },
    /// This share of the pulses since the last account came within this time of their target.
    Timing { within_ms: f64, share: f64 },
    /// Remembers what the service uses.
    Baseline {},
    /// What the service uses has grown by no more than this since the baseline.
    Growth { memory_percent: f64, descriptors: usize },
    /// From a part's trigger to its verdict: the 99th percentile of the second half of the last account's parts is above that of the first
    /// by no more than this.
    Drift { p99_percent: f64 },
    /// The same again and again; tells the times that it took and how many parts there were.
    Repeat { times: u32, steps: Vec<Step> },
}

/// A signal that cannot be caught.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kill {
    /// The process ends at once.
    Kill,
    /// All its threads stand still.
    Stop,
}

impl From<Kill> for Signal {
    fn from(kill: Kill) -> Signal {
        match kill {
            Kill::Kill => Signal::KILL,
            Kill::Stop => Signal::STOP,
        }
    }
}

fn yes() -> bool {
    true
}

/// The scenarios of a folder, by name.
pub fn read_all(folder: &Path) -> Result<Vec<(String, Scenario)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    if paths.is_empty() {
        bail!("{} holds no scenario", folder.display());
    }
    let read = |path: &Path| -> Result<_> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let scenario = toml::from_str(&text).with_context(|| format!("{} is no scenario", path.display()))?;
        Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), scenario))
    };
    paths.iter().map(|path| read(path)).collect()
}

/// Changes keys of a document; a key may be a path with dots. An empty string removes it.
pub fn change(document: &mut toml::Table, changes: &toml::Table) -> Result<()> {
    for (path, value) in changes {
        let (folders, key) = path.rsplit_once('.').map_or((None, path.as_str()), |(folders, key)| (Some(folders), key));
        let mut table = &mut *document;
        for folder in folders.into_iter().flat_map(|folders| folders.split('.')) {
            let entry = table.entry(folder).or_insert_with(|| toml::Table::new().into());
            table = entry.as_table_mut().with_context(|| format!("{path}: {folder} is no section"))?;
        }
        match value.as_str() {
            Some("") => drop(table.remove(key)),
            _ => drop(table.insert(key.to_owned(), value.clone())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read() {
        for folder in ["machine/scenarios", "machine/long", "machine/arm64"] {
            let scenarios = read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
            assert!(scenarios.iter().all(|(_, scenario)| !scenario.steps.is_empty()));
        }
    }

    #[test]
    fn changes_reach_into_sections() {
        let mut document: toml::Table = toml::from_str("[a]\nb = 1\nc = 2\n").unwrap();
        change(&mut document, &toml::from_str("\"a.b\" = \"\"\n\"a.d.e\" = 3\nf = true").unwrap()).unwrap();
        assert_eq!(document, toml::from_str("f = true\n[a]\nc = 2\n[a.d]\ne = 3\n").unwrap());
        assert!(change(&mut document, &toml::from_str("\"f.g\" = 1").unwrap()).is_err());
    }
}
