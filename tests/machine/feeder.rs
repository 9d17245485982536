//! The belt: puts one picture after the other before the camera, and triggers for each.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::account::Part;
use crate::bench::{BELT, Bench};
use crate::clock;

/// From a picture on the belt to its trigger: two frames at least, so that every frame near the trigger shows it. As long it stays.
const STILL: Duration = Duration::from_millis(120);
/// What `v4l2-ctl` needs to begin.
const START: Duration = Duration::from_millis(200);
/// How long the trigger is active.
const TRIGGER: Duration = Duration::from_millis(10);
/// Shortest time between two parts.
pub const LEAST: Duration = Duration::from_millis(2 * 120 + 10);

/// What lies before the camera: `v4l2-ctl` shows the frames that are written to it, the last one until there is another.
#[derive(Debug)]
pub struct Belt {
    program: Child,
}

impl Belt {
    /// A belt with a picture on it.
    pub fn start(bytes: &[u8]) -> Result<Belt> {
        let mut program = Command::new("v4l2-ctl");
        // Two buffers: it begins when both are filled, and then one is always shown while the other is filled.
        program.args(["-d", BELT, "--stream-out-mmap=2", "--stream-from=-"]);
        program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut belt = Belt { program: program.spawn().context("cannot start v4l2-ctl")? };
        for _ in 0..2 {
            belt.show(bytes)?;
        }
        thread::sleep(START);
        Ok(belt)
    }

    /// Shows a picture until the next one.
    pub fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let input = self.program.stdin.as_mut().context("v4l2-ctl has no input")?;
        input.write_all(bytes).context("v4l2-ctl takes no picture: is the camera unplugged?")
    }

    /// Whether the last picture is still there.
    pub fn is_showing(&mut self) -> bool {
        matches!(self.program.try_wait(), Ok(None))
    }
}

impl Drop for Belt {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Works in a thread of its own.
pub struct Feeder {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// The camera is unplugged: the belt holds on to what is left of it.
    unplugged: AtomicBool,
    /// It may come back.
    returned: AtomicBool,
    parts: Mutex<Vec<Part>>,
}

impl Feeder {
    /// A part passes every so often from now on.
    pub fn start(bench: &Bench, every: Duration) -> Result<Feeder> {
        if every < LEAST {
            bail!("parts cannot pass faster than every {LEAST:?}");
        }
        let state = Arc::new(State::default());
        let (pull, pictures) = (bench.line("TRIGGER", "pull")?, bench.pictures.iter().map(|picture| picture.bytes.clone()));
        let (for_thread, pictures) = (Arc::clone(&state), pictures.collect::<Vec<_>>());
        let feed = move || for_thread.feed(&pull, &pictures, every);
        let thread = thread::Builder::new().name("feeder".into()).spawn(feed).context("cannot start the feeder")?;
        Ok(Feeder { state, thread: Some(thread) })
    }

    /// All parts so far.
    pub fn parts(&self) -> Vec<Part> {
        self.state.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells that the camera was unplugged, or may return.
    pub fn unplugged(&self, unplugged: bool) {
        self.state.returned.store(!unplugged, Ordering::Relaxed);
        self.state.unplugged.store(unplugged, Ordering::Relaxed);
    }

    /// No part passes any more; gives all that did.
    pub fn stop(mut self) -> Vec<Part> {
        self.end();
        self.parts()
    }

    fn end(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    fn feed(&self, pull: &Path, pictures: &[Vec<u8>], every: Duration) {
        let mut belt = None;
        let mut next = clock::now();
        // A stride that visits every picture, so that neighbours differ in kind and the order is not the files'.
        let stride = (3..).find(|stride| gcd(*stride, pictures.len()) == 1).unwrap_or(1);
        for number in 0.. {
            let picture = number * stride % pictures.len();
            if !self.unplugged.load(Ordering::Relaxed) {
                self.show(&mut belt, &pictures[picture]);
            }
            thread::sleep(STILL);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let shown = belt.as_mut().is_some_and(Belt::is_showing) && !self.unplugged.load(Ordering::Relaxed);
            if let Some(between) = trigger(pull) {
                let part = Part { picture: shown.then_some(picture), between };
                self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
            }
            next = (next + every.as_secs_f64()).max(clock::now() + STILL.as_secs_f64());
            thread::sleep(Duration::from_secs_f64((next - clock::now()).max(0.0)));
        }
    }

    /// A belt that was unplugged is let go, for the camera returns only when nobody holds on to it.
    fn show(&self, belt: &mut Option<Belt>, picture: &[u8]) {
        if self.returned.swap(false, Ordering::Relaxed) || belt.as_mut().is_none_or(|belt| belt.show(picture).is_err()) {
            *belt = None;
            *belt = Belt::start(picture).ok();
        }
    }
}

fn trigger(pull: &Path) -> Option<(f64, f64)> {
    let before = clock::now();
    fs::write(pull, "pull-up").ok()?;
    let after = clock::now();
    thread::sleep(TRIGGER);
    fs::write(pull, "pull-down").ok()?;
    Some((before, after))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Lets a line rise once.
pub fn edge(pull: &PathBuf) -> Result<()> {
    trigger(pull).map(drop).with_context(|| format!("cannot write {}", pull.display()))
}
