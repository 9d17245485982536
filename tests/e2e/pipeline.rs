//! `apc-runtime run`: every part one verdict, whatever happens.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Finished, bin, finish, product};

/// A line configuration of one test's own.
struct Line {
    folder: TempDir,
}

impl Line {
    /// `replay` and `rest` are appended to `[source.replay]` and to the whole.
    fn new(images: &str, replay: &str, rest: &str) -> Line {
        let line = Line { folder: tempfile::tempdir().unwrap() };
        let bundle = product().bundle();
        let text = format!("[detector]\nbundle = {bundle:?}\n[source.replay]\nimages = {images}\n{replay}\n{rest}\n");
        fs::write(line.config(), text).unwrap();
        line
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("line.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["run", "--config"]).arg(self.config());
        command
    }
}

/// Names of test images as a TOML array, `times` over.
fn images(times: usize) -> String {
    let one = ["good", "spot"].iter().flat_map(|kind| (0..16).map(move |i| format!("test/{kind}/{i:03}.png")));
    let paths: Vec<_> = one.map(|path| product().data().join(path)).collect();
    format!("{:?}", std::iter::repeat_n(&paths, times).flatten().collect::<Vec<_>>())
}

fn lines(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn each_part_once(lines: &[Value], parts: u64) {
    let mut found: Vec<_> = lines.iter().map(|line| line["part"].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (1..=parts).collect::<Vec<_>>());
}

#[test]
fn parts_get_the_verdicts_that_score_gives() {
    let line = Line::new(&images(1), "rate = 50.0", "[frames]\nqueue = 64\nmax_age_ms = 60000\n[log]\nlevel = \"debug\"");
    let finished = finish(&mut line.command()).expect(0);
    let lines = lines(&finished);
    each_part_once(&lines, 32);
    assert!(lines.windows(2).all(|pair| pair[0]["sequence"].as_u64() < pair[1]["sequence"].as_u64()));
    let mut score = Command::new(bin("apc-runtime"));
    score.args(["score", "--json", "--model"]).arg(product().bundle());
    let scored = finish(score.args(lines.iter().map(|line| line["source"].as_str().unwrap()))).expect(0);
    let scored: Value = serde_json::from_str(&scored.stdout).unwrap();
    for (line, image) in lines.iter().zip(scored["images"].as_array().unwrap()) {
        assert_eq!((&line["score"], &line["verdict"]), (&image["score"], &image["verdict"]));
        assert_eq!((&line["bundle"], &line["threshold"]), (&scored["bundle"], &scored["threshold"]));
        assert!(line["latency_ms"].as_f64().unwrap() > 0.0 && line["captured"].as_f64().unwrap() > 1.7e9);
        assert_eq!(line["reason"], Value::Null);
    }
    for words in ["self-test difference", "engine tract", scored["bundle"].as_str().unwrap(), "end: ", "p95"] {
        assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
}

#[test]
fn a_queue_that_overflows_makes_parts_unknown() {
    let line = Line::new(&images(10), "rate = 10000.0", "[frames]\nqueue = 1\nmax_age_ms = 60000");
    let finished = finish(&mut line.command()).expect(0);
    let lines = lines(&finished);
    each_part_once(&lines, 320);
    let overflown = lines.iter().filter(|line| line["reason"] == "queue_overflow").count();
    let judged = lines.iter().filter(|line| line["verdict"] != "unknown").count();
    assert!(overflown > 0 && judged > 0 && overflown + judged == 320, "{overflown} {judged}");
    assert!(finished.stderr.contains(&format!("{overflown} queue_overflow")), "{}", finished.stderr);
}

#[test]
fn free_frames_are_replaced_by_newer_ones() {
    let line = Line::new(&images(10), "rate = 10000.0", "[frames]\nbind = \"free\"\nmax_age_ms = 60000");
    let finished = finish(&mut line.command()).expect(0);
    let lines = lines(&finished);
    assert!(lines.windows(2).all(|pair| pair[0]["sequence"].as_u64() < pair[1]["sequence"].as_u64()));
    assert!(lines.iter().all(|line| line["part"] == Value::Null && line["verdict"] != "unknown"));
    assert_eq!(lines.last().unwrap()["sequence"], 320, "the newest is always judged");
    let replaced = 320 - lines.len();
    assert!(replaced > 0 && finished.stderr.contains(&format!("{replaced} frames replaced")), "{}", finished.stderr);
}

#[test]
fn damaged_images_are_unknown_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(product().data().join("test/good/000.png")).unwrap();
    for (name, bytes) in [("a.png", &good[..]), ("b.png", &good[..good.len() / 2]), ("c.png", &[]), ("d.png", &good)] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    image::GrayImage::new(96, 96).save(folder.path().join("e.png")).unwrap();
    let line = Line::new(&format!("{:?}", folder.path()), "", "[frames]\nmax_age_ms = 60000");
    let finished = finish(&mut line.command()).expect(0);
    let mut lines = lines(&finished);
    each_part_once(&lines, 5);
    lines.sort_by_key(|line| line["part"].as_u64());
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap_or("none")).collect();
    assert_eq!(reasons, ["none", "unreadable", "unreadable", "none", "scoring_failed"]);
    assert!(finished.stderr.contains("b.png") && finished.stderr.contains("colour"), "{}", finished.stderr);
}

#[test]
fn a_signal_stops_a_loop_without_losing_a_part() {
    for signal in ["TERM", "INT"] {
        let line = Line::new(&images(1), "rate = 10000.0\nloop = true", "[frames]\nqueue = 4");
        let mut child = line.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines: Vec<String> = (0..100).map(|_| stdout.next().unwrap().unwrap()).collect();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        lines.extend(stdout.map(Result::unwrap));
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        each_part_once(&lines, lines.len() as u64);
        assert!(stderr.contains("end: ") && stderr.contains("latency p50"), "{stderr}");
    }
}

#[test]
fn verdicts_go_to_a_file_beside_the_configuration() {
    let line = Line::new(&images(1), "rate = 1000.0", "[output]\nverdicts = \"verdicts.jsonl\"");
    for runs in 1..=2 {
        let finished = finish(&mut line.command()).expect(0);
        assert_eq!(finished.stdout, "");
        let text = fs::read_to_string(line.folder.path().join("verdicts.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 32 * runs, "appended");
    }
}

#[test]
fn verdicts_that_nobody_reads_are_a_failure() {
    let line = Line::new(&images(1), "rate = 1000.0\nloop = true", "");
    let mut child = line.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("cannot write verdicts"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
