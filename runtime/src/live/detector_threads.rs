//! The two threads of the detector: the network thread extracts features, the detector thread scores them.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use detector::picture::Picture;
use verdict::{Outcome, ScoredVerdict, Ticket};

use super::capture::PATIENCE;
use super::intake::{Action, Event};
use super::pipeline::{OnDrop, Pipeline};
use super::progress::Worker;

/// What the network thread hands to the detector thread.
pub(super) enum Handed<F> {
    /// The features of a frame.
    Features(Ticket, F),
    /// The token of [`Action::Live`].
    Token,
}

impl Pipeline<'_> {
    /// Network thread: from frames of the intake to their features.
    pub(super) fn extract<F>(
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
            let now = self.progress.clock().now();
            let mut intake = self.lock();
            let actions = intake.step(Event::Ready, now);
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
    pub(super) fn score<F>(
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
}
