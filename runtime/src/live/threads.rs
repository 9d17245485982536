//! The threads that carry out what [`Intake`] decides.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use verdict::{Outcome, ScoredVerdict, Ticket};

use detector::picture::Picture;

use super::capture::PATIENCE;
use super::intake::{Action, Event, Intake};
use super::line_thread::LineThread;
use super::link::{Command, LineLink, Report};
use super::progress::{Progress, Worker};
use super::realtime;
use super::summary::Summary;
use crate::camera::Source;
use crate::line::Ledger;
use config::line::LineSettings;
use config::{Binding, FramesConfig};

/// What waits between the detector's halves.
const HANDED: usize = 1;
/// Outcomes that may wait to be told.
const OUTCOMES: usize = 256;

/// Why a pipeline ended other than by itself or by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source failed.
    #[error("the source failed")]
    Source(#[from] detector::Error),
    /// A thread died; every part that was captured has been told `unknown`.
    #[error("the {0} thread died: a fault of this program, please report what it printed above")]
    Lost(&'static str),
    /// Verdicts could not be told.
    #[error("cannot write verdicts")]
    Tell(#[source] io::Error),
    /// The system gives no more threads.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What the pipeline tells.
#[derive(Debug)]
pub enum News<'a> {
    /// A frame has its answer.
    Outcome(&'a Outcome),
    /// The line did something.
    Line(Report),
    /// Nothing new. Comes often, as long as the pipeline works.
    Quiet {
        /// The source has ended, and only parts in transit are waited for.
        ending: bool,
    },
}

/// What the detector's first half hands to the second.
enum Handed<L> {
    Frame(Ticket, L),
    /// A sign of life.
    Token,
}

/// The line as the pipeline sees it.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub link: &'a LineLink<'a>,
    pub settings: &'a LineSettings,
    /// The product that the sources were opened with.
    pub product: usize,
}

/// Sources, a detector and who is told, with bounded queues between them; and a line, if there is one.
pub struct Pipeline<'a> {
    pub(super) binding: Binding,
    pub(super) intake: Mutex<Intake<Picture>>,
    changed: Condvar,
    pub(super) progress: &'a Progress,
    pub(super) line: Option<Line<'a>>,
    pub(super) stop: &'a AtomicBool,
    /// Frames so far.
    pub(super) frames: AtomicU64,
    /// Capture threads that work, and sources that have more frames.
    pub(super) capturing: AtomicUsize,
    pub(super) delivering: AtomicUsize,
    /// A source has failed: the others are of no more use.
    pub(super) failed: AtomicBool,
}

impl<'a> Pipeline<'a> {
    /// A pipeline that stops soon after `stop` becomes true: the frame that is being judged is finished, those that wait become
    /// `unknown`.
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

    /// Parts are those of a line that does not yet run, and the line learns their verdicts.
    pub fn on_line(mut self, link: &'a LineLink<'a>, settings: &'a LineSettings) -> Pipeline<'a> {
        self.line = Some(Line { link, settings, product: link.product() });
        self
    }

    /// Runs until the sources end or `stop` becomes true, and then until no part is in transit any more. The sources are the views of
    /// a part, in their order; only a line joins several. `look` and `judge` are the halves of the detector: while one frame is judged, the
    /// next one is looked at. `tell` is called on this thread; when it fails the pipeline stops.
    ///
    /// # Errors
    /// When a source, the detector or `tell` fail for good; every part that was captured has then been told, if `tell` still works. The
    /// summary says what was done until then.
    pub fn run<L: Send>(
        self,
        mut sources: Vec<impl Source>,
        mut look: impl FnMut(&Ticket, &Picture) -> L + Send,
        mut judge: impl FnMut(&Ticket, L) -> ScoredVerdict + Send,
        line_thread: Option<LineThread<'a>>,
        mut tell: impl FnMut(News<'_>) -> io::Result<()>,
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
            // Whatever cannot start ends the others.
            let abandon = |error| {
                self.stop.store(true, Ordering::Relaxed);
                self.line.inspect(|line| line.link.finish());
                PipelineError::Thread(error)
            };
            let this = &self;
            let (hand, handed) = sync_channel(HANDED);
            let for_network = sender.clone();
            let detector = named("detector").spawn_scoped(scope, || this.judge(handed, &mut judge, sender)).map_err(abandon)?;
            let network = named("network").spawn_scoped(scope, || this.look(&mut look, hand, for_network)).map_err(abandon)?;
            let mut captures = Vec::with_capacity(sources.len());
            for ((view, source), outcomes) in sources.iter_mut().enumerate().zip(for_captures) {
                let capture = named("capture").spawn_scoped(scope, move || this.capture(view, source, outcomes));
                captures.push(capture.map_err(abandon)?);
            }
            let told = self.tell_all(receiver, driven.as_ref(), &mut summary, &mut tell);
            let captured: Vec<_> = captures.into_iter().map(ScopedJoinHandle::join).collect();
            let (looked, judged) = (network.join(), detector.join());
            driven.map_or(Ok(()), ScopedJoinHandle::join).map_err(|_| PipelineError::Lost("line"))?;
            looked.and(judged).map_err(|_| PipelineError::Lost("detector"))?;
            for captured in captured {
                captured.map_err(|_| PipelineError::Lost("capture"))??;
            }
            told.map_err(PipelineError::Tell)
        });
        summary.replaced = self.lock().replaced();
        (summary, result)
    }

    /// Network thread: from the intake to what the network made of the frames.
    fn look<L>(&self, look: &mut impl FnMut(&Ticket, &Picture) -> L, hand: SyncSender<Handed<L>>, outcomes: SyncSender<Outcome>) {
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
                        let looked = look(&frame.ticket, &frame.picture);
                        // The picture's memory is free before it is judged.
                        Handed::Frame(frame.ticket, looked)
                    }
                    Action::Tell(outcome) => {
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

    /// Detector thread: from what the network made of the frames to outcomes.
    fn judge<L>(
        &self,
        handed: Receiver<Handed<L>>,
        judge: &mut impl FnMut(&Ticket, L) -> ScoredVerdict,
        outcomes: SyncSender<Outcome>,
    ) {
        let lost = OnDrop(|| self.post(Event::DetectorLost, &outcomes));
        for handed in handed {
            if let Handed::Frame(ticket, looked) = handed {
                let judged = judge(&ticket, looked);
                self.post(Event::Judged(judged), &outcomes);
            }
            // A token has passed through both halves.
            self.progress.beat(Worker::Detector);
        }
        lost.forget();
    }

    /// Steps the intake and tells what is certain now. Only the detector's own [`Event::Ready`] gives more to do.
    pub(super) fn post(&self, event: Event<Picture>, outcomes: &SyncSender<Outcome>) {
        let actions = self.lock().step(event, self.progress.clock().now());
        self.changed.notify_all();
        for action in actions {
            if let Action::Tell(outcome) = action {
                self.send(outcomes, outcome);
            }
        }
    }

    /// A thread that died while holding the lock left the intake as it was between two steps, or nearly: going on is safer than
    /// leaving parts untold.
    pub(super) fn lock(&self) -> MutexGuard<'_, Intake<Picture>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line first: a part moves on whether or not somebody listens. Then waits while too many outcomes are untold. There is nobody
    /// to tell only if the pipeline could not start.
    fn send(&self, outcomes: &SyncSender<Outcome>, outcome: Outcome) {
        if let Some((line, part)) = self.line.zip(outcome.ticket.part) {
            line.link.send(Command::Judged { part, view: outcome.ticket.view, verdict: outcome.verdict() });
        }
        drop(outcomes.send(outcome));
    }

    /// Tells outcomes and what the line does until all threads are gone.
    fn tell_all(
        &self,
        outcomes: Receiver<Outcome>,
        driven: Option<&ScopedJoinHandle<'_, ()>>,
        summary: &mut Summary,
        tell: &mut impl FnMut(News<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        let mut news = |news: News<'_>| {
            if let News::Outcome(outcome) = &news {
                summary.add(outcome);
            }
            if result.is_ok() {
                result = tell(news);
                if result.is_err() {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let patience = if self.line.is_some() { PATIENCE / 5 } else { PATIENCE };
        let mut ledger = self.line.map(|line| {
            let control = &line.settings.control;
            Ledger::new(control.views, 2 * control.parts + OUTCOMES)
        });
        let mut ending = false;
        while !ending {
            let complete = match outcomes.recv_timeout(patience) {
                Ok(outcome) => match &mut ledger {
                    Some(ledger) => ledger.judged(outcome),
                    None => Some(outcome),
                },
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    ending = true;
                    None
                }
            };
            if let Some(outcome) = complete {
                news(News::Outcome(&outcome));
            }
            if let Some((line, ledger)) = self.line.zip(ledger.as_mut()) {
                reports(line.link, ledger, &mut news);
                while let Some(outcome) = ledger.expired(self.progress.clock().now()) {
                    news(News::Outcome(&outcome));
                }
            }
            if driven.is_some_and(ScopedJoinHandle::is_finished) {
                self.stop.store(true, Ordering::Relaxed);
            }
            news(News::Quiet { ending });
        }
        let Some((line, mut ledger)) = self.line.zip(ledger) else { return result };
        line.link.finish();
        while driven.is_some_and(|driven| !driven.is_finished()) {
            thread::sleep(patience);
            reports(line.link, &mut ledger, &mut news);
            news(News::Quiet { ending: true });
        }
        reports(line.link, &mut ledger, &mut news);
        ledger.finish().for_each(|outcome| news(News::Outcome(&outcome)));
        result
    }
}

/// Tells what the line did, and the outcomes that are complete with it.
fn reports(link: &LineLink<'_>, ledger: &mut Ledger, news: &mut impl FnMut(News<'_>)) {
    while let Some(report) = link.next_report() {
        news(News::Line(report));
        if let Report::Decided(decided) = report
            && let Some(outcome) = ledger.decided(decided)
        {
            news(News::Outcome(&outcome));
        }
    }
}

/// Runs a closure at the end of a scope, also when a panic ends it.
pub(super) struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> OnDrop<F> {
    /// It is not needed after all.
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
