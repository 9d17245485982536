//! The threads that carry out what [`Intake`] decides.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use detector::picture::Picture;

use super::intake::{Action, Event, Intake};
use super::outcome::{Judgement, Outcome};
use super::queue::{Frame, Ticket};
use super::source::{Capture, Shot, Source};
use super::summary::Summary;
use crate::config::{Binding, FramesConfig};

/// Longest time after which a thread looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(50);
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

/// A source, a detector and who is told, with bounded queues between them.
pub struct Pipeline<'a> {
    binding: Binding,
    intake: Mutex<Intake<Picture>>,
    changed: Condvar,
    start: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Pipeline<'a> {
    /// A pipeline that stops soon after `stop` becomes true: the frame that is being judged is finished, those that wait become
    /// `unknown`.
    pub fn new(config: &FramesConfig, stop: &'a AtomicBool) -> Pipeline<'a> {
        let (intake, changed) = (Mutex::new(Intake::new(config)), Condvar::new());
        Pipeline { binding: config.bind, intake, changed, start: Instant::now(), stop }
    }

    /// Runs until the source ends or `stop` becomes true. `tell` is called on this thread; when it fails the pipeline stops.
    ///
    /// # Errors
    /// When source, `judge` or `tell` fail for good; every part that was captured has then been told, if `tell` still works. The
    /// summary says what was done until then.
    pub fn run(
        self,
        mut source: impl Source,
        mut judge: impl FnMut(&Picture) -> Judgement + Send,
        mut tell: impl FnMut(&Outcome) -> io::Result<()>,
    ) -> (Summary, Result<(), PipelineError>) {
        let mut summary = Summary::default();
        let result = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(OUTCOMES);
            let for_capture = sender.clone();
            let named = |name: &str| thread::Builder::new().name(name.into());
            let detector = named("detector").spawn_scoped(scope, || self.detect(&mut judge, sender));
            let detector = detector.map_err(PipelineError::Thread)?;
            let capture = named("capture").spawn_scoped(scope, || self.capture(&mut source, for_capture));
            let capture = capture.map_err(|error| {
                self.stop.store(true, Ordering::Relaxed);
                PipelineError::Thread(error)
            })?;
            let told = self.tell_all(receiver, &mut summary, &mut tell);
            let captured = capture.join();
            let detected = detector.join();
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
        let mut sequence = 0;
        while !self.lock().is_closed() {
            if self.stop.load(Ordering::Relaxed) {
                self.post(Event::Stop, &outcomes);
                break;
            }
            let Shot { source, at, picture } = match source.next(PATIENCE)? {
                Capture::Shot(shot) => shot,
                Capture::Nothing => continue,
                Capture::End => break,
            };
            sequence += 1;
            let part = (self.binding == Binding::Part).then_some(sequence);
            let ticket = Ticket { sequence, part, source, captured: at.saturating_duration_since(self.start) };
            let event = match picture {
                Ok(picture) => Event::Captured(Frame { ticket, picture }),
                Err(problem) => Event::Unreadable(ticket, problem),
            };
            self.post(event, &outcomes);
        }
        Ok(())
    }

    /// Detector thread: from the intake to outcomes.
    fn detect(&self, judge: &mut impl FnMut(&Picture) -> Judgement, outcomes: SyncSender<Outcome>) {
        let lost = OnDrop(|| self.post(Event::DetectorLost, &outcomes));
        loop {
            if self.stop.load(Ordering::Relaxed) {
                self.post(Event::Stop, &outcomes);
            }
            let mut intake = self.lock();
            let actions = intake.step(Event::Ready, self.start.elapsed());
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
                    }
                    Action::Tell(outcome) => send(&outcomes, outcome),
                    Action::Finish => return lost.forget(),
                }
            }
        }
    }

    /// Steps the intake and tells what is certain now. Only the detector's own [`Event::Ready`] gives more to do.
    fn post(&self, event: Event<Picture>, outcomes: &SyncSender<Outcome>) {
        let actions = self.lock().step(event, self.start.elapsed());
        self.changed.notify_all();
        for action in actions {
            if let Action::Tell(outcome) = action {
                send(outcomes, outcome);
            }
        }
    }

    /// A thread that died while holding the lock left the intake as it was between two steps, or nearly: going on is safer than
    /// leaving parts untold.
    fn lock(&self) -> MutexGuard<'_, Intake<Picture>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells outcomes until both threads are gone.
    fn tell_all(
        &self,
        outcomes: Receiver<Outcome>,
        summary: &mut Summary,
        tell: &mut impl FnMut(&Outcome) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        for outcome in outcomes {
            summary.add(&outcome);
            if result.is_ok() {
                result = tell(&outcome);
                if result.is_err() {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        result
    }
}

/// Waits while too many outcomes are untold. There is nobody to tell only if the pipeline could not start.
fn send(outcomes: &SyncSender<Outcome>, outcome: Outcome) {
    drop(outcomes.send(outcome));
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
mod tests {
    use super::*;
    use crate::pipeline::Reason;
    use detector::picture::Colour;
    use image::RgbImage;

    /// As many frames as it says; every `unreadable`-th is damaged.
    struct Frames {
        left: usize,
        pause: Duration,
        unreadable: usize,
        fails: bool,
    }

    impl Source for Frames {
        fn next(&mut self, _: Duration) -> detector::Result<Capture> {
            thread::sleep(self.pause);
            if self.left == 0 {
                return if self.fails { Err(detector::Error::invalid("unplugged")) } else { Ok(Capture::End) };
            }
            self.left -= 1;
            let picture = match (self.left + 1) % self.unreadable {
                0 => Err("cut".into()),
                _ => Ok(Picture { pixels: RgbImage::new(1, 1), colour: Colour::Grey }),
            };
            Ok(Capture::Shot(Shot { source: "test".into(), at: Instant::now(), picture }))
        }
    }

    fn frames(left: usize, pause_us: u64) -> Frames {
        Frames { left, pause: Duration::from_micros(pause_us), unreadable: usize::MAX, fails: false }
    }

    fn config(bind: Binding, queue: usize) -> FramesConfig {
        FramesConfig { bind, queue, max_age_ms: 60_000 }
    }

    fn good(_: &Picture) -> Judgement {
        Judgement::Scored { score: 0.0, anomalous: false }
    }

    fn slow(picture: &Picture) -> Judgement {
        thread::sleep(Duration::from_millis(2));
        good(picture)
    }

    struct Run {
        told: Vec<Outcome>,
        summary: Summary,
        result: Result<(), PipelineError>,
    }

    fn run(config: &FramesConfig, source: Frames, judge: impl FnMut(&Picture) -> Judgement + Send) -> Run {
        let stop = AtomicBool::new(false);
        let mut told = Vec::new();
        let (summary, result) = Pipeline::new(config, &stop).run(source, judge, |outcome| {
            told.push(outcome.clone());
            Ok(())
        });
        Run { told, summary, result }
    }

    fn each_part_once(told: &[Outcome], parts: u64) {
        let mut found: Vec<_> = told.iter().map(|outcome| outcome.ticket.part.unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, (1..=parts).collect::<Vec<_>>());
    }

    #[test]
    fn every_part_is_told_though_the_queue_overflows() {
        let Run { told, summary, result } = run(&config(Binding::Part, 2), frames(100, 50), slow);
        result.unwrap();
        each_part_once(&told, 100);
        assert!(summary.unknown[&Reason::QueueOverflow] > 10, "{summary}");
        assert!(summary.good > 5, "{summary}");
    }

    #[test]
    fn free_frames_are_replaced_and_the_last_is_judged() {
        let Run { told, summary, result } = run(&config(Binding::Free, 2), frames(100, 50), slow);
        result.unwrap();
        assert!(told.windows(2).all(|pair| pair[0].ticket.sequence < pair[1].ticket.sequence));
        assert!(told.iter().all(|outcome| outcome.ticket.part.is_none()));
        assert_eq!(told.last().unwrap().ticket.sequence, 100);
        assert_eq!(summary.replaced + told.len() as u64, 100);
        assert!(summary.replaced > 10, "{summary}");
    }

    #[test]
    fn damaged_frames_and_a_failing_source_leave_no_part_behind() {
        let source = Frames { unreadable: 3, fails: true, ..frames(9, 0) };
        let Run { told, summary, result } = run(&config(Binding::Part, 16), source, good);
        assert!(matches!(result, Err(PipelineError::Source(_))), "{result:?}");
        each_part_once(&told, 9);
        assert_eq!((summary.good, summary.unknown[&Reason::Unreadable]), (6, 3));
    }

    #[test]
    fn a_detector_that_dies_leaves_no_part_behind() {
        let mut count = 0;
        let Run { told, summary, result } = run(&config(Binding::Part, 16), frames(usize::MAX, 20), |picture| {
            count += 1;
            assert!(count < 5, "this panic belongs to the test");
            slow(picture)
        });
        assert!(matches!(result, Err(PipelineError::Lost("detector"))), "{result:?}");
        each_part_once(&told, told.len() as u64);
        assert_eq!(summary.good, 4);
        assert!(summary.unknown[&Reason::DetectorLost] >= 1);
    }

    #[test]
    fn stopping_ends_an_endless_source() {
        let stop = AtomicBool::new(false);
        let mut told = Vec::new();
        let (summary, result) = Pipeline::new(&config(Binding::Part, 4), &stop).run(frames(usize::MAX, 100), slow, |outcome| {
            told.push(outcome.clone());
            stop.store(told.len() > 20, Ordering::Relaxed);
            Ok(())
        });
        result.unwrap();
        each_part_once(&told, told.len() as u64);
        assert!(summary.good > 0);
    }

    #[test]
    fn a_reader_that_is_gone_stops_the_pipeline() {
        let stop = AtomicBool::new(false);
        let (_, result) = Pipeline::new(&config(Binding::Part, 4), &stop)
            .run(frames(usize::MAX, 100), good, |_| Err(io::ErrorKind::BrokenPipe.into()));
        assert!(matches!(result, Err(PipelineError::Tell(_))), "{result:?}");
    }
}
