//! The pipeline: the threads that carry out the decisions of [`Intake`].

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use config::line::LineSettings;
use config::{Binding, FramesConfig};
use detector::picture::Picture;
use verdict::{Outcome, ScoredVerdict, Ticket};

use super::capture::PATIENCE;
use super::intake::{Action, Event, Intake};
use super::line_thread::LineThread;
use super::link::{Command, LineLink};
use super::progress::{Progress, Worker};
use super::realtime;
use super::reporting::Notice;
use super::summary::Summary;
use crate::camera::Source;

/// Most features that wait between the network thread and the detector thread.
const HANDED: usize = 1;
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

/// What the network thread hands to the detector thread.
enum Handed<F> {
    /// The features of a frame.
    Features(Ticket, F),
    /// The token of [`Action::Live`].
    Token,
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
    changed: Condvar,
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

    /// Runs until the sources end or `stop` becomes true, and then until no part is in transit.
    ///
    /// There is one source for each view, in the order of the views; several views need a line. `extract` and `score` are the stages of the
    /// detector: while one frame is scored, the features of the next are extracted. `report` is called on this thread.
    ///
    /// # Errors
    /// When a source or the detector fails for good. Every part that was captured has then been reported, and the summary counts them.
    pub fn run<F: Send>(
        self,
        mut sources: Vec<impl Source>,
        mut extract: impl FnMut(&Ticket, &Picture) -> F + Send,
        mut score: impl FnMut(&Ticket, F) -> ScoredVerdict + Send,
        line_thread: Option<LineThread<'a>>,
        mut report: impl FnMut(Notice<'_>),
    ) -> (Summary, Result<(), PipelineError>) {
        let mut summary = Summary::default();
        self.capturing.store(sources.len(), Ordering::Relaxed);
        self.delivering.store(sources.len(), Ordering::Relaxed);
        let result = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(OUTCOMES);
            let for_captures: Vec<_> = sources.iter().map(|_| sender.clone()).collect();
            let named = |name: &str| thread::Builder::new().name(name.into());
            let driven = match line_thread.zip(self.line) {
                Some((thread, Line { settings, .. })) => {
                    let drive = move || {
                        realtime::prepare(settings);
                        thread.run();
                    };
                    Some(named("line").spawn_scoped(scope, drive).map_err(PipelineError::Thread)?)
                }
                None => None,
            };
            // A thread that cannot start ends the threads that have started.
            let abandon = |error| {
                self.stop.store(true, Ordering::Relaxed);
                self.line.inspect(|line| line.link.finish());
                PipelineError::Thread(error)
            };
            let this = &self;
            let (hand, handed) = sync_channel(HANDED);
            let for_network = sender.clone();
            let detector = named("detector").spawn_scoped(scope, || this.score(handed, &mut score, sender)).map_err(abandon)?;
            let network =
                named("network").spawn_scoped(scope, || this.extract(&mut extract, hand, for_network)).map_err(abandon)?;
            let mut captures = Vec::with_capacity(sources.len());
            for ((view, source), outcomes) in sources.iter_mut().enumerate().zip(for_captures) {
                let capture = named("capture").spawn_scoped(scope, move || this.capture(view, source, outcomes));
                captures.push(capture.map_err(abandon)?);
            }
            self.report_all(receiver, driven.as_ref(), &mut summary, &mut report);
            let captured: Vec<_> = captures.into_iter().map(ScopedJoinHandle::join).collect();
            let (extracted, scored) = (network.join(), detector.join());
            driven.map_or(Ok(()), ScopedJoinHandle::join).map_err(|_| PipelineError::Lost("line"))?;
            extracted.and(scored).map_err(|_| PipelineError::Lost("detector"))?;
            for captured in captured {
                captured.map_err(|_| PipelineError::Lost("capture"))??;
            }
            Ok(())
        });
        summary.replaced = self.lock().replaced();
        (summary, result)
    }

    /// Network thread: from frames of the intake to their features.
    fn extract<F>(
        &self,
        extract: &mut impl FnMut(&Ticket, &Picture) -> F,
        hand: SyncSender<Handed<F>>,
        outcomes: SyncSender<Outcome>,
    ) {
        let lost = OnDrop(|| self.post(Event::DetectorLost, &outcomes));
        loop {
            if self.stop.load(Ordering::Relaxed) {
                self.post(Event::Stop, &outcomes);
            }
            let mut intake = self.lock();
            let actions = intake.step(Event::Ready, self.progress.clock().now());
            if actions.is_empty() {
                drop(self.changed.wait_timeout(intake, PATIENCE));
                continue;
            }
            drop(intake);
            for action in actions {
                let handed = match action {
                    Action::Judge(frame) => {
                        let features = extract(&frame.ticket, &frame.picture);
                        // The picture's memory is freed before its features are scored.
                        Handed::Features(frame.ticket, features)
                    }
                    Action::Report(outcome) => {
                        self.send(&outcomes, outcome);
                        continue;
                    }
                    Action::Live => Handed::Token,
                    Action::Finish => return lost.forget(),
                };
                if hand.send(handed).is_err() {
                    return;
                }
            }
        }
    }

    /// Detector thread: from features to outcomes.
    fn score<F>(
        &self,
        handed: Receiver<Handed<F>>,
        score: &mut impl FnMut(&Ticket, F) -> ScoredVerdict,
        outcomes: SyncSender<Outcome>,
    ) {
        let lost = OnDrop(|| self.post(Event::DetectorLost, &outcomes));
        for handed in handed {
            if let Handed::Features(ticket, features) = handed {
                let judged = score(&ticket, features);
                self.post(Event::Judged(judged), &outcomes);
            }
            // A token has passed through both stages.
            self.progress.beat(Worker::Detector);
        }
        lost.forget();
    }

    /// Steps the intake and reports the outcomes. Only [`Event::Ready`], which the network thread posts itself, leads to other actions.
    pub(super) fn post(&self, event: Event<Picture>, outcomes: &SyncSender<Outcome>) {
        let actions = self.lock().step(event, self.progress.clock().now());
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
    fn send(&self, outcomes: &SyncSender<Outcome>, outcome: Outcome) {
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
    fn forget(self) {
        std::mem::forget(self);
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests;
