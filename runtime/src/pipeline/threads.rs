//! The threads that carry out what [`Intake`] decides.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use detector::picture::Picture;

use super::intake::{Action, Event, Intake};
use super::outcome::{Judgement, Outcome};
use super::queue::{Frame, Ticket};
use super::source::{Capture, Shot, Source};
use super::summary::Summary;
use crate::config::line::{LineSettings, TriggerBy};
use crate::config::{Binding, FramesConfig};
use crate::line::{Command, Found, Ledger, LineLink, LineThread, Match, Matching, MatchingEvent, Report, Seen, realtime};
use crate::progress::{Progress, Worker};

/// Longest time after which a thread looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same while parts come by other ways than frames.
const SHORT_PATIENCE: Duration = Duration::from_millis(2);
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

/// The line as the pipeline sees it.
#[derive(Clone, Copy)]
struct Line<'a> {
    link: &'a LineLink<'a>,
    settings: &'a LineSettings,
}

/// A source, a detector and who is told, with bounded queues between them; and a line, if there is one.
pub struct Pipeline<'a> {
    binding: Binding,
    intake: Mutex<Intake<Picture>>,
    changed: Condvar,
    progress: &'a Progress,
    line: Option<Line<'a>>,
    stop: &'a AtomicBool,
}

impl<'a> Pipeline<'a> {
    /// A pipeline that stops soon after `stop` becomes true: the frame that is being judged is finished, those that wait become
    /// `unknown`.
    pub fn new(config: &FramesConfig, progress: &'a Progress, stop: &'a AtomicBool) -> Pipeline<'a> {
        let (intake, changed) = (Mutex::new(Intake::new(config)), Condvar::new());
        Pipeline { binding: config.bind, intake, changed, progress, line: None, stop }
    }

    /// Parts are those of a line, and the line learns their verdicts.
    pub fn on_line(mut self, link: &'a LineLink<'a>, settings: &'a LineSettings) -> Pipeline<'a> {
        self.line = Some(Line { link, settings });
        self
    }

    /// Runs until the source ends or `stop` becomes true, and then until no part is in transit any more. `tell` is called on this
    /// thread; when it fails the pipeline stops.
    ///
    /// # Errors
    /// When source, `judge` or `tell` fail for good; every part that was captured has then been told, if `tell` still works. The
    /// summary says what was done until then.
    pub fn run(
        self,
        mut source: impl Source,
        mut judge: impl FnMut(&Picture) -> Judgement + Send,
        line_thread: Option<LineThread<'a>>,
        mut tell: impl FnMut(News<'_>) -> io::Result<()>,
    ) -> (Summary, Result<(), PipelineError>) {
        let mut summary = Summary::default();
        let result = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(OUTCOMES);
            let for_capture = sender.clone();
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
            let detector = named("detector").spawn_scoped(scope, || self.detect(&mut judge, sender)).map_err(abandon)?;
            let capture = named("capture").spawn_scoped(scope, || self.capture(&mut source, for_capture)).map_err(abandon)?;
            let told = self.tell_all(receiver, driven.as_ref(), &mut summary, &mut tell);
            let captured = capture.join();
            let detected = detector.join();
            driven.map_or(Ok(()), ScopedJoinHandle::join).map_err(|_| PipelineError::Lost("line"))?;
            detected.map_err(|_| PipelineError::Lost("detector"))?;
            captured.map_err(|_| PipelineError::Lost("capture"))??;
            told.map_err(PipelineError::Tell)
        });
        summary.replaced = self.lock().replaced();
        (summary, result)
    }

    /// Capture thread: from the source into the intake.
    fn capture(&self, source: &mut impl Source, outcomes: SyncSender<Outcome>) -> Result<(), PipelineError> {
        let _ended = OnDrop(|| self.post(Event::Ended, &outcomes));
        let mut parts = self.line.filter(|line| line.settings.trigger.by != TriggerBy::Frame);
        let mut matching = parts.map(|Line { settings, .. }| Matching::new(&settings.trigger, settings.control.parts));
        let patience = if matching.is_some() { SHORT_PATIENCE } else { PATIENCE };
        let clock = self.progress.clock();
        let (mut sequence, mut token) = (0, Duration::ZERO);
        let mut stopped = None;
        while !self.lock().is_closed() {
            self.progress.beat(Worker::Capture);
            let now = clock.now();
            if now >= token {
                self.post(Event::Token, &outcomes);
                token = now + PATIENCE;
            }
            if self.stop.load(Ordering::Relaxed) {
                self.post(Event::Stop, &outcomes);
                stopped = Some(super::Reason::Stopped);
                break;
            }
            let mut admit = |found| self.admit(found, &mut sequence, &outcomes);
            if let Some((line, matching)) = parts.as_mut().zip(matching.as_mut()) {
                while let Some(seen) = line.link.next_part() {
                    source.trigger(clock.instant(seen.at));
                    matching.step(MatchingEvent::Part(seen), clock.now(), &mut admit);
                }
            }
            let shot = match source.next(patience)? {
                Capture::Shot(shot) => Some(shot),
                Capture::Nothing => None,
                Capture::End => break,
            };
            match (&mut matching, shot) {
                (Some(matching), Some(shot)) => {
                    let at = clock.at(shot.at);
                    matching.step(MatchingEvent::Frame { at, frame: shot }, clock.now(), &mut admit);
                }
                (Some(matching), None) => matching.step(MatchingEvent::Tick, clock.now(), &mut admit),
                (None, Some(shot)) => self.frame(shot, &mut sequence, &outcomes),
                (None, None) => {}
            }
        }
        let mut admit = |found| self.admit(found, &mut sequence, &outcomes);
        if let Some(mut matching) = matching {
            matching.finish(stopped.unwrap_or(super::Reason::NoFrame), &mut admit);
        }
        Ok(())
    }

    /// A frame that is a part itself, or none at all.
    fn frame(&self, shot: Shot, sequence: &mut u64, outcomes: &SyncSender<Outcome>) {
        *sequence += 1;
        let part = (self.binding == Binding::Part).then_some(*sequence);
        let captured = self.progress.clock().at(shot.at);
        if let Some((line, part)) = self.line.zip(part) {
            line.link.send(Command::Seen(Seen { part, at: captured }));
        }
        let ticket = Ticket { sequence: *sequence, part, source: shot.source, captured };
        self.post(judgeable(ticket, shot.picture), outcomes);
    }

    /// What the matching found.
    fn admit(&self, found: Match<Shot>, sequence: &mut u64, outcomes: &SyncSender<Outcome>) {
        let mut ticket = |seen: Seen, source| {
            *sequence += 1;
            Ticket { sequence: *sequence, part: Some(seen.part), source, captured: seen.at }
        };
        let event = match found {
            Match::Bound(seen, Shot { source, picture, .. }) => judgeable(ticket(seen, source), picture),
            Match::Unmatched(seen, reason) => Event::Unjudgeable(ticket(seen, String::new()), Judgement::unknown(reason)),
            Match::Surplus(_) => return,
        };
        self.post(event, outcomes);
    }

    /// Detector thread: from the intake to outcomes.
    fn detect(&self, judge: &mut impl FnMut(&Picture) -> Judgement, outcomes: SyncSender<Outcome>) {
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
                match action {
                    Action::Judge(frame) => {
                        let judgement = judge(&frame.picture);
                        // The picture's memory is free before the answer is told.
                        drop(frame);
                        self.post(Event::Judged(judgement), &outcomes);
                        self.progress.beat(Worker::Detector);
                    }
                    Action::Tell(outcome) => self.send(&outcomes, outcome),
                    Action::Live => self.progress.beat(Worker::Detector),
                    Action::Finish => return lost.forget(),
                }
            }
        }
    }

    /// Steps the intake and tells what is certain now. Only the detector's own [`Event::Ready`] gives more to do.
    fn post(&self, event: Event<Picture>, outcomes: &SyncSender<Outcome>) {
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
    fn lock(&self) -> MutexGuard<'_, Intake<Picture>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line first: a part moves on whether or not somebody listens. Then waits while too many outcomes are untold. There is nobody
    /// to tell only if the pipeline could not start.
    fn send(&self, outcomes: &SyncSender<Outcome>, outcome: Outcome) {
        if let Some((line, part)) = self.line.zip(outcome.ticket.part) {
            let found = match outcome.judgement {
                Judgement::Scored { anomalous: true, .. } => Found::Anomalous,
                Judgement::Scored { .. } => Found::Good,
                Judgement::Unknown { reason, .. } => Found::Unknown(reason),
            };
            line.link.send(Command::Judged(part, found));
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
        let mut ledger = self.line.map(|line| Ledger::new(2 * line.settings.control.parts + OUTCOMES));
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
        if let Report::Settled(settled) = report
            && let Some(outcome) = ledger.settled(settled)
        {
            news(News::Outcome(&outcome));
        }
    }
}

fn judgeable(ticket: Ticket, picture: Result<Picture, String>) -> Event<Picture> {
    match picture {
        Ok(picture) => Event::Captured(Frame { ticket, picture }),
        Err(detail) => Event::Unjudgeable(ticket, Judgement::Unknown { reason: super::Reason::Unreadable, detail }),
    }
}

/// Runs a closure at the end of a scope, also when a panic ends it.
struct OnDrop<F: FnMut()>(F);

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
