//! `apc-runtime run`: whatever happens to the verdict file, inspection goes on, and every line that is written is whole.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{bin, finish, product};

/// Far longer than any of these runs may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A line that replays 32 images and writes verdicts as `output` says.
struct Line {
    folder: TempDir,
}

impl Line {
    fn new(replay: &str, output: &str) -> Line {
        let line = Line { folder: tempfile::tempdir().unwrap() };
        let (bundle, data) = (product().bundle(), product().data());
        let image = |i: usize| data.join(format!("test/{}/{:03}.png", ["good", "spot"][i / 16], i % 16));
        let images: Vec<_> = (0..32).map(image).collect();
        let text = format!(
            "[detector]\nbundle = {bundle:?}\n[source.replay]\nimages = {images:?}\nrate = 10000.0\n{replay}\n\
             [frames]\nqueue = 1\nmax_age_ms = 60000\n[output]\n{output}\n"
        );
        fs::write(line.path("line.toml"), text).unwrap();
        line
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["run", "--config"]).arg(self.path("line.toml"));
        command
    }

    fn start(&self) -> Running {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Running { child, log: Some(log) }
    }
}

/// A service whose log is read and whose standard output is not.
struct Running {
    child: Child,
    log: Option<JoinHandle<String>>,
}

impl Running {
    /// Waits for its end; gives exit code and log.
    #[track_caller]
    fn end(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        until("the end of the service", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.unwrap().code(), self.log.take().unwrap().join().unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The parts of a file's lines; each line is whole.
fn parts(text: &str) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with('\n'), "torn: {:?}", text.lines().last());
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(|text| line(text)["part"].as_u64().unwrap()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn each_part_once(files: &[PathBuf]) {
    let mut found: Vec<_> = files.iter().flat_map(|file| parts(&read(file))).collect();
    found.sort_unstable();
    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
}

/// The number before the last of these words.
#[track_caller]
fn number(log: &str, words: &str) -> u64 {
    let before = log.rsplit_once(words).unwrap_or_else(|| panic!("no {words:?} in:\n{log}")).0;
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_full_disk_costs_verdict_lines_and_not_inspection() {
    let line = Line::new("", "verdicts = \"/dev/full\"");
    let (code, log) = line.start().end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("cannot write verdict lines to /dev/full: No space left"), "{log}");
    assert!(log.contains("0 verdict lines written to /dev/full, 32 lost"), "{log}");
    let end = log.rsplit_once("end: ").unwrap().1;
    let outcomes = [" good,", " anomalous,", " unknown"].map(|words| number(end, words));
    assert_eq!(outcomes.iter().sum::<u64>(), 32, "{log}");
}

#[test]
fn a_reader_that_stalls_stops_neither_inspection_nor_its_end() {
    let line = Line::new("loop = true", "verdicts = \"-\"");
    let mut service = line.start();
    // By then pipe and queue are full.
    thread::sleep(Duration::from_secs(5));
    service.signal("TERM");
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    let (written, lost) = (number(&log, " verdict lines written to standard output"), number(&log, " lost\n"));
    assert!(written > 0 && lost > 0, "{log}");
    let mut text = String::new();
    service.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(parts(&text).len() as u64, written);
}

#[test]
fn a_renamed_file_is_left_at_sighup() {
    let line = Line::new("loop = true", "verdicts = \"verdicts.jsonl\"");
    let (file, moved) = (line.path("verdicts.jsonl"), line.path("moved.jsonl"));
    let mut service = line.start();
    until("verdicts", || fs::metadata(&file).is_ok_and(|file| file.len() > 0));
    fs::rename(&file, &moved).unwrap();
    service.signal("HUP");
    until("a new file", || fs::metadata(&file).is_ok_and(|file| file.len() > 0));
    service.signal("TERM");
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(", none lost"), "{log}");
    each_part_once(&[moved, file]);
}

#[test]
fn a_file_that_is_full_is_followed_by_a_new_one() {
    let line = Line::new("loop = true", "verdicts = \"verdicts.jsonl\"\nmax_mib = 1\nfiles = 2");
    let (file, older) = (line.path("verdicts.jsonl"), line.path("verdicts.jsonl.1"));
    let mut service = line.start();
    until("an older file", || older.exists());
    service.signal("TERM");
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(fs::metadata(&older).unwrap().len() <= 1 << 20);
    if log.contains(", none lost") {
        each_part_once(&[older, file]);
    } else {
        // A machine under load may have written slower than parts came.
        assert!(!parts(&read(&older)).is_empty() && !parts(&read(&file)).is_empty());
    }
}

#[test]
fn a_torn_last_line_is_healed_at_the_start() {
    let line = Line::new("", "verdicts = \"verdicts.jsonl\"");
    let file = line.path("verdicts.jsonl");
    finish(&mut line.command()).expect(0);
    let whole = read(&file);
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"part\":33,\"verd").unwrap();
    let finished = finish(&mut line.command()).expect(0);
    assert!(finished.stderr.contains("the last line was torn"), "{}", finished.stderr);
    let healed = read(&file);
    assert!(healed.starts_with(&whole));
    assert_eq!(parts(&healed).len(), 64);
}

#[test]
fn a_path_that_can_never_be_written_is_refused() {
    let line = Line::new("", "verdicts = \"missing/verdicts.jsonl\"");
    finish(&mut line.command()).refused(&["output.verdicts", "missing/verdicts.jsonl", "No such file"]);
}

#[test]
fn a_file_without_a_limit_is_refused() {
    for wrong in ["max_mib = 0", "files = 0", "files = 1001"] {
        let line = Line::new("", &format!("verdicts = \"verdicts.jsonl\"\n{wrong}"));
        finish(&mut line.command()).refused(&[wrong.split(' ').next().unwrap()]);
    }
}
