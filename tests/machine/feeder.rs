//! The belt: puts one picture after the other before the camera, and triggers for each.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gpiocdev::Request;

use crate::account::Part;
use crate::bench::{BELT, Bench, WITNESS};
use crate::clock;

/// From a picture on the belt to its trigger: two frames at least, so that every frame near the trigger shows it. As long it stays.
const STILL: Duration = Duration::from_millis(120);
/// What `v4l2-ctl` needs to begin.
const START: Duration = Duration::from_millis(200);
/// The simulated camera stands still for a moment when the belt begins; until then no part comes.
const SETTLE: Duration = Duration::from_secs(2);
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

/// What is with the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Plug {
    /// It is there.
    #[default]
    In,
    /// It is about to be unplugged: the last picture stays.
    Loose,
    /// A fault is about to come that takes the picture away: no part comes until it may return.
    Waiting,
    /// It is gone. The belt holds on to what is left of it, for it returns only when nobody does.
    Out,
    /// It may return.
    Back,
}

/// Works in a thread of its own.
pub struct Feeder {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    plug: Mutex<Plug>,
    parts: Mutex<Vec<Part>>,
    /// Why it ended before its time.
    failed: Mutex<Option<String>>,
}

/// The lines that it moves.
struct Trigger {
    pull: PathBuf,
    witness: PathBuf,
    edges: Request,
}

impl Feeder {
    /// A part passes every so often from now on, always the same one if its picture is named.
    pub fn start(bench: &Bench, every: Duration, only: Option<usize>) -> Result<Feeder> {
        if every < LEAST {
            bail!("parts cannot pass faster than every {LEAST:?}");
        }
        let state = Arc::new(State::default());
        let pictures: Vec<_> = bench.pictures.iter().map(|picture| picture.bytes.clone()).collect();
        let (pull, witness) = (bench.line("TRIGGER", "pull")?, bench.line(WITNESS, "pull")?);
        let trigger = Trigger { pull, witness, edges: bench.witness()? };
        let for_thread = Arc::clone(&state);
        let feed = move || {
            if let Err(error) = for_thread.feed(&trigger, &pictures, every, only) {
                *lock(&for_thread.failed) = Some(format!("{error:#}"));
            }
        };
        let thread = thread::Builder::new().name("feeder".into()).spawn(feed).context("cannot start the feeder")?;
        Ok(Feeder { state, thread: Some(thread) })
    }

    /// All parts so far.
    pub fn parts(&self) -> Result<Vec<Part>> {
        match &*lock(&self.state.failed) {
            Some(problem) => bail!("the feeder failed: {problem}"),
            None => Ok(lock(&self.state.parts).clone()),
        }
    }

    /// Tells what is with the camera.
    pub fn plug(&self, plug: Plug) {
        *lock(&self.state.plug) = plug;
    }

    /// No part passes any more; gives all that did.
    pub fn stop(mut self) -> Result<Vec<Part>> {
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
    fn feed(&self, trigger: &Trigger, pictures: &[Vec<u8>], every: Duration, only: Option<usize>) -> Result<()> {
        let (mut belt, mut shown, mut number) = (None, None, 0);
        let mut next = clock::now();
        // A stride that visits every picture, so that neighbours differ in kind and the order is not the files'.
        let stride = (3..).find(|stride| gcd(*stride, pictures.len()) == 1).unwrap_or(1);
        while !self.stop.load(Ordering::Relaxed) {
            let plug = *lock(&self.plug);
            if plug == Plug::Waiting {
                thread::sleep(START / 10);
                continue;
            }
            if plug == Plug::Back {
                belt = None;
                *lock(&self.plug) = Plug::In;
            }
            if matches!(plug, Plug::In | Plug::Back) {
                let picture = only.unwrap_or(number * stride) % pictures.len();
                if !show(&mut belt, &pictures[picture]) {
                    // A fault of the camera takes the belt with it: it is set up anew before the next part comes.
                    belt = None;
                    thread::sleep(STILL);
                    continue;
                }
                if shown.is_none() {
                    thread::sleep(SETTLE);
                    next = clock::now();
                }
                shown = Some(picture);
                number += 1;
            }
            thread::sleep(STILL);
            if belt.as_mut().is_some_and(|belt| !belt.is_showing()) && *lock(&self.plug) == Plug::In {
                // Without a signal the simulated camera shows noise.
                belt = None;
                continue;
            }
            let between = trigger.fire()?;
            let picture = if *lock(&self.plug) == Plug::Out { None } else { shown };
            lock(&self.parts).push(Part { picture, between });
            next = (next + every.as_secs_f64()).max(clock::now() + STILL.as_secs_f64());
            thread::sleep(Duration::from_secs_f64((next - clock::now()).max(0.0)));
        }
        Ok(())
    }
}

/// Whether the picture is before the camera now.
fn show(belt: &mut Option<Belt>, picture: &[u8]) -> bool {
    let shown = match belt {
        Some(belt) => belt.show(picture).is_ok(),
        None => Belt::start(picture).map(|started| *belt = Some(started)).is_ok(),
    };
    // The program takes a picture before it knows whether the camera does.
    thread::sleep(START / 10);
    shown && belt.as_mut().is_some_and(Belt::is_showing)
}

impl Trigger {
    /// Before the edge, and the kernel's time of the witness's edge, which comes right after it. (The simulated chip delivers edges with
    /// the kernel's next tick: up to 10 ms after the level has changed.)
    fn fire(&self) -> Result<(f64, f64)> {
        let before = clock::now();
        for line in [&self.pull, &self.witness] {
            pull(line, "pull-up")?;
        }
        let seen = self.edges.wait_edge_event(Duration::from_secs(5)).context("cannot wait for the witness")?;
        ensure!(seen, "the witness saw no edge");
        let edge = self.edges.read_edge_event().context("cannot read the witness's edge")?;
        thread::sleep(TRIGGER);
        for line in [&self.pull, &self.witness] {
            pull(line, "pull-down")?;
        }
        Ok((before, edge.timestamp_ns as f64 / 1e9))
    }
}

fn pull(line: &Path, way: &str) -> Result<()> {
    fs::write(line, way).with_context(|| format!("cannot write {}", line.display()))
}

/// Lets a line rise once.
pub fn edge(line: &Path) -> Result<()> {
    pull(line, "pull-up")?;
    thread::sleep(TRIGGER);
    pull(line, "pull-down")
}

/// A thread that died has left whole parts behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
