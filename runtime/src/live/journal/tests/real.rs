//! Real files, pipes and devices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::live::journal::disk::{Disk, Handle, Machine, Status};
use crate::live::journal::fake::{FakeDisk, Fault};
use crate::live::journal::rotate::numbered;
use crate::live::journal::{Destination, Journal, JournalCounts, JournalError, QueueLimits, Rotation, Settings};

const SOON: Duration = Duration::from_secs(10);

fn settings(destination: Destination) -> Settings {
    let (rotation, queue) = (Rotation::default(), QueueLimits::default());
    Settings { noun: "verdict", key: "output.verdicts", destination, rotation, queue }
}

fn at(path: &Path) -> Settings {
    settings(Destination::Path(path.into()))
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.jsonl");
    (folder, path)
}

fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap()).collect()
}

#[track_caller]
fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "not within {SOON:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A machine whose standard output is a pipe of the test's own.
struct Piped<D>(Mutex<Option<D>>);

impl Piped<File> {
    fn new() -> (Piped<File>, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        (Piped(Mutex::new(Some(File::from(OwnedFd::from(writer))))), reader)
    }
}

impl<H: Handle> Disk for Piped<H> {
    type File = H;

    fn standard_output(&self) -> io::Result<H> {
        Ok(self.0.lock().unwrap().take().expect("opened once"))
    }

    fn open(&self, _: &Path) -> io::Result<H> {
        unreachable!()
    }

    fn is_fifo(&self, _: &Path) -> bool {
        false
    }

    fn exists(&self, _: &Path) -> io::Result<bool> {
        unreachable!()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!()
    }

    fn real(&self, _: &Path) -> io::Result<PathBuf> {
        unreachable!()
    }

    fn may_rename_in(&self, _: &Path) -> bool {
        unreachable!()
    }
}

#[test]
fn a_reader_that_stalls_delays_neither_the_caller_nor_the_end() {
    let (disk, mut reader) = Piped::new();
    let mut journal = Journal::start_on(disk, settings(Destination::StandardOutput)).unwrap();
    let (given, start) = (50_000, Instant::now());
    for n in 0..given {
        journal.write(&json!({ "n": n, "x": "x".repeat(200) }));
    }
    assert!(journal.counts().lost > 0, "more than the queue and the pipe hold");
    let JournalCounts { written, lost, pending } = journal.close(Duration::from_millis(300));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(written > 0 && pending == 0 && written + lost == given, "{written} {lost}");
    until(|| journal.queue.wait_end(Duration::ZERO));
    drop(journal);
    let mut text = String::new();
    // The writer thread closes its end soon.
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count() as u64, written);
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_reader_that_is_gone_is_noticed_and_its_lines_are_lost() {
    let (disk, reader) = Piped::new();
    let mut journal = Journal::start_on(disk, settings(Destination::StandardOutput)).unwrap();
    journal.write(&json!({ "n": 0 }));
    until(|| journal.counts().written == 1);
    assert!(!journal.reader_is_gone());
    drop(reader);
    journal.write(&json!({ "n": 1 }));
    until(|| journal.reader_is_gone());
    journal.write(&json!({ "n": 2 }));
    let start = Instant::now();
    assert_eq!(journal.close(SOON), JournalCounts { written: 1, lost: 2, pending: 0 });
    assert!(start.elapsed() < SOON / 2, "no line waits");
}

/// Hangs in each write, like a dead network share.
struct Hung;

impl Handle for Hung {
    fn status(&self) -> io::Result<Status> {
        unreachable!()
    }

    fn ready(&self, _: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::sleep(Duration::from_secs(3));
        Ok(bytes.len())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        unreachable!()
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!()
    }
}

#[test]
fn a_system_call_that_hangs_does_not_delay_the_end() {
    let disk = Piped(Mutex::new(Some(Hung)));
    let mut journal = Journal::start_on(disk, settings(Destination::StandardOutput)).unwrap();
    journal.write(&json!({ "n": 0 }));
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    let counts = journal.close(Duration::from_millis(100));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(counts, JournalCounts { written: 0, lost: 1, pending: 0 });
}

#[test]
fn a_device_that_is_full_costs_lines_and_nothing_else() {
    let mut journal = Journal::start(at(Path::new("/dev/full"))).unwrap();
    for n in 0..10 {
        journal.write(&json!({ "n": n }));
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(journal.counts(), JournalCounts { written: 0, lost: 0, pending: 10 }, "the lines wait");
    let start = Instant::now();
    assert_eq!(journal.close(SOON), JournalCounts { written: 0, lost: 10, pending: 0 });
    assert!(start.elapsed() < SOON / 2, "one more attempt, and no wait");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_no_error_and_is_tried_again() {
    let disk = FakeDisk::default();
    disk.state().capacity = 1 << 20;
    disk.state().faults.push_back(Fault::Fails(rustix::io::Errno::NOSPC));
    let mut journal = Journal::start_on(disk.clone(), at(Path::new("lines.jsonl"))).unwrap();
    journal.write(&json!({ "n": 0 }));
    assert_eq!(journal.counts().pending, 1);
    until(|| journal.counts().written == 1);
    assert_eq!(disk.state().content(Path::new("lines.jsonl"), 0), Some(&b"{\"n\":0}\n"[..]));
}

#[test]
fn a_path_that_can_never_be_written_is_an_error_that_names_the_key() {
    let (folder, path) = folder();
    let cases = [folder.path().to_owned(), path.join("below"), folder.path().join("missing/lines.jsonl")];
    fs::write(&path, "").unwrap();
    for wrong in cases {
        let error = Journal::start(at(&wrong)).unwrap_err();
        assert!(matches!(&error, JournalError::Open { key: "output.verdicts", path, .. } if *path == wrong), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("output.verdicts: cannot append to ") && text.contains(wrong.to_str().unwrap()), "{text}");
    }
}

#[test]
fn a_fifo_without_a_reader_is_no_error_and_its_reader_gets_all_waiting_lines() {
    let (_folder, path) = folder();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut journal = Journal::start(at(&path)).unwrap();
    (0..3).for_each(|n| journal.write(&json!({ "n": n })));
    for round in 1..=2 {
        // The reader closes the FIFO after three lines, while the journal holds it open.
        let reader = BufReader::new(File::open(&path).unwrap());
        let lines: Vec<_> = reader.lines().take(3).map(Result::unwrap).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines:?}");
        if round == 1 {
            (3..6).for_each(|n| journal.write(&json!({ "n": n })));
        }
    }
    assert!(!journal.reader_is_gone(), "another reader may come");
    assert_eq!(journal.close(SOON), JournalCounts { written: 6, lost: 0, pending: 0 });
}

#[test]
fn a_file_is_begun_anew_after_it_was_renamed_removed_or_emptied() {
    let (folder, path) = folder();
    let mut journal = Journal::start(at(&path)).unwrap();
    journal.write(&json!({ "n": 0 }));
    until(|| journal.counts().written == 1);
    let moved = folder.path().join("moved.jsonl");
    fs::rename(&path, &moved).unwrap();
    journal.write(&json!({ "n": 1 }));
    until(|| journal.counts().written == 2);
    journal.reopen();
    until(|| path.exists());
    journal.write(&json!({ "n": 2 }));
    until(|| journal.counts().written == 3);
    assert_eq!((numbers(&moved), numbers(&path)), (vec![0, 1], vec![2]));
    fs::remove_file(&path).unwrap();
    journal.write(&json!({ "n": 3 }));
    until(|| journal.counts().written == 4);
    assert_eq!(numbers(&path), [3]);
    OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    journal.write(&json!({ "n": 4 }));
    journal.close(SOON);
    assert_eq!(numbers(&path), [4]);
}

#[test]
fn files_rotate_behind_a_symbolic_link() {
    let (folder, path) = folder();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let file = disk.join("real.jsonl");
    std::os::unix::fs::symlink(&file, &path).unwrap();
    let rotation = Rotation { max_bytes: 80, files: NonZeroU32::new(2).unwrap() };
    let mut journal = Journal::start(Settings { rotation, ..at(&path) }).unwrap();
    for n in 0..35 {
        journal.write(&json!({ "n": n + 10 }));
    }
    assert_eq!(journal.close(SOON).written, 35);
    // Nine bytes a line.
    let content: Vec<_> = (0..3).map(|number| numbers(&numbered(&file, number))).collect();
    assert_eq!(content, [(42..45).collect::<Vec<_>>(), (34..42).collect(), (26..34).collect()]);
    assert!(!numbered(&file, 3).exists() && fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[test]
fn wherever_a_power_cut_tears_a_file_every_line_is_whole_after_the_next_start() {
    let whole = "{\"n\":0}\n{\"n\":1}\n";
    for length in 0..=whole.len() {
        let (_folder, path) = folder();
        fs::write(&path, &whole[..length]).unwrap();
        let mut journal = Journal::start(at(&path)).unwrap();
        journal.write(&json!({ "n": 7 }));
        assert_eq!(journal.close(SOON).written, 1);
        // A line that lacks only its newline is whole.
        let kept = (length + 1) / 8;
        assert_eq!(numbers(&path), [&[0, 1][..kept], &[7]].concat(), "{length} bytes");
    }
}

#[test]
fn a_line_that_the_queue_cannot_hold_is_lost() {
    let (_folder, path) = folder();
    let mut journal = Journal::start(at(&path)).unwrap();
    journal.write(&json!({ "n": 0, "x": "x".repeat(1 << 20) }));
    journal.write(&json!({ "n": 1 }));
    assert_eq!(journal.close(SOON), JournalCounts { written: 1, lost: 1, pending: 0 });
    assert_eq!(numbers(&path), [1]);
}

#[test]
fn a_value_without_json_is_lost_and_counted() {
    let (_folder, path) = folder();
    let mut journal = Journal::start(at(&path)).unwrap();
    journal.write(&std::collections::BTreeMap::from([((1, 2), 3)]));
    journal.write(&json!({ "n": 1 }));
    assert_eq!(journal.close(SOON), JournalCounts { written: 1, lost: 1, pending: 0 });
}

#[test]
fn the_machine_knows_what_may_be_renamed() {
    let (folder, _) = folder();
    assert!(Machine.may_rename_in(folder.path()));
    assert!(!Machine.may_rename_in(&folder.path().join("missing")));
}
