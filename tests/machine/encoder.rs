//! The belt's encoder: lets its line rise and fall, and knows when.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::{Bench, ENCODER};
use crate::clock;

/// The simulated chip delivers an edge with the kernel's next tick.
const TICK: f64 = 0.01;
/// Shortest time between two pulses: two edges, each with a tick of its own and one to spare.
pub const LEAST: Duration = Duration::from_millis(40);

/// Works in a thread of its own, until it is dropped.
pub struct Encoder {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// Milliseconds from pulse to pulse; 0 while the belt stands.
    period: AtomicU64,
    /// Each pulse came between these times.
    pulses: Mutex<Vec<(f64, f64)>>,
}

impl Encoder {
    /// The belt stands.
    pub fn start(bench: &Bench) -> Result<Encoder> {
        let line = bench.line(ENCODER, "pull")?;
        let state = Arc::new(State::default());
        let for_thread = Arc::clone(&state);
        let turn = move || for_thread.turn(&line);
        let thread = thread::Builder::new().name("encoder".into()).spawn(turn).context("cannot start the encoder")?;
        Ok(Encoder { state, thread: Some(thread) })
    }

    /// The belt moves on so fast from now on; 0 stops it.
    pub fn turn(&self, period: Duration) {
        self.state.period.store(period.as_millis() as u64, Ordering::Relaxed);
    }

    /// All pulses so far.
    pub fn pulses(&self) -> Vec<(f64, f64)> {
        self.state.pulses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

impl State {
    fn turn(&self, line: &PathBuf) {
        while !self.stop.load(Ordering::Relaxed) {
            let period = Duration::from_millis(self.period.load(Ordering::Relaxed));
            if period.is_zero() {
                thread::sleep(LEAST);
                continue;
            }
            let before = clock::now();
            if fs::write(line, "pull-up").is_err() {
                return;
            }
            self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push((before, clock::now() + TICK));
            thread::sleep(period / 2);
            if fs::write(line, "pull-down").is_err() {
                return;
            }
            thread::sleep(period / 2);
        }
    }
}
