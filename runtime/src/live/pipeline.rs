//! The pipeline: what its threads share.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use config::line::LineSettings;
use config::{Binding, FramesConfig};
use detector::picture::Picture;
use verdict::Outcome;

use super::intake::{Action, Event, Intake};
use super::link::{Command, LineLink};
use super::progress::Progress;

/// Most outcomes that wait to be reported.
pub(super) const OUTCOMES: usize = 256;

/// Why a pipeline failed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source failed.
    #[error("the source failed")]
    Source(#[from] detector::Error),
    /// A thread died; every part that was captured has been reported, and those without a verdict are unknown.
    #[error("the {0} thread died: a fault of this program, please report what it printed above")]
    Lost(&'static str),
    /// The system gives no more threads.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// The production line of a pipeline.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub link: &'a LineLink<'a>,
    pub settings: &'a LineSettings,
    /// The product that the sources were opened with.
    pub product: usize,
}

/// Sources, a detector and a reporter, with bounded queues between them. With a line, its line thread too.
pub struct Pipeline<'a> {
    pub(super) binding: Binding,
    pub(super) intake: Mutex<Intake<Picture>>,
    /// The intake has changed.
    pub(super) changed: Condvar,
    pub(super) progress: &'a Progress,
    pub(super) line: Option<Line<'a>>,
    pub(super) stop: &'a AtomicBool,
    /// Frames captured so far.
    pub(super) frames: AtomicU64,
    /// Capture threads that still run.
    pub(super) capturing: AtomicUsize,
    /// Sources that have more frames.
    pub(super) delivering: AtomicUsize,
    /// A capture thread has failed: the others must end too.
    pub(super) failed: AtomicBool,
}

impl<'a> Pipeline<'a> {
    /// A pipeline that stops soon after `stop` becomes true: frames that are being judged are finished, frames that wait become `unknown`.
    pub fn new(config: &FramesConfig, progress: &'a Progress, stop: &'a AtomicBool) -> Pipeline<'a> {
        let (intake, changed) = (Mutex::new(Intake::new(config)), Condvar::new());
        Pipeline {
            binding: config.bind,
            intake,
            changed,
            progress,
            line: None,
            stop,
            frames: AtomicU64::new(0),
            capturing: AtomicUsize::new(0),
            delivering: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Joins the pipeline with a line whose thread does not run yet: parts are the parts of the line, and verdicts are sent to it.
    pub fn on_line(mut self, link: &'a LineLink<'a>, settings: &'a LineSettings) -> Pipeline<'a> {
        self.line = Some(Line { link, settings, product: link.product() });
        self
    }

    /// Steps the intake and reports the outcomes. Only [`Event::Ready`], which the network thread posts itself, leads to other actions.
    pub(super) fn post(&self, event: Event<Picture>, outcomes: &SyncSender<Outcome>) {
        // No system call while the lock is held: a thread that hangs in one must not stop the others.
        let now = self.progress.clock().now();
        let actions = self.lock().step(event, now);
        self.changed.notify_all();
        for action in actions {
            if let Action::Report(outcome) = action {
                self.send(outcomes, outcome);
            }
        }
    }

    /// A thread that died while it held the lock may have left a step of the intake unfinished. Going on is safer than leaving parts
    /// without an outcome.
    pub(super) fn lock(&self) -> MutexGuard<'_, Intake<Picture>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the verdict to the line thread first: the part moves on, whether or not its outcome is reported. Then waits for room in the
    /// channel of outcomes. The channel is closed only if the pipeline could not start.
    pub(super) fn send(&self, outcomes: &SyncSender<Outcome>, outcome: Outcome) {
        if let Some((line, part)) = self.line.zip(outcome.ticket.part) {
            line.link.send(Command::Judged { part, view: outcome.ticket.view, verdict: outcome.verdict() });
        }
        drop(outcomes.send(outcome));
    }
}

/// Runs a closure at the end of a scope, also when a panic ends it.
pub(super) struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> OnDrop<F> {
    /// Drops the closure without running it.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
