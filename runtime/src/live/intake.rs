//! Which frame the detector judges next, and what becomes of the frames that wait: a pure state machine.

use std::collections::VecDeque;
use std::time::Duration;

use config::{Binding, FramesConfig};
use verdict::{Outcome, Reason, ScoredVerdict, Ticket};

use super::queue::{Frame, Mailbox, PartQueue};

/// What happened.
#[derive(Debug)]
pub enum Event<P> {
    /// The source delivered a frame.
    Captured(Frame<P>),
    /// A part or frame came that cannot be judged; the verdict is unknown, with its reason.
    Unjudgeable(Ticket, ScoredVerdict),
    /// A token that must pass through both stages of the detector, behind the frames that wait: it shows that the detector works.
    Token,
    /// The network thread is idle.
    Ready,
    /// The detector has judged the oldest of its frames.
    Judged(ScoredVerdict),
    /// The source will deliver no more.
    Ended,
    /// The service is to stop: frames that are being judged are finished, frames that wait become `unknown`.
    Stop,
    /// The detector thread or the network thread has died.
    DetectorLost,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Action<P> {
    /// Let the detector judge this frame.
    Judge(Frame<P>),
    /// Report an outcome.
    Report(Outcome),
    /// Send the token through the detector: all frames before it have been given out.
    Live,
    /// The detector is no longer needed.
    Finish,
}

/// Most frames in the detector at once: one for each stage.
const AHEAD: usize = 2;

/// Decides which frame is judged next, and what becomes of the others.
///
/// Every frame bound to a part gets exactly one outcome. Parts are judged in order. An `unknown` is reported as soon as it is certain,
/// which may be before older parts that still wait: the line needs the time for its fail-safe.
#[derive(Debug)]
pub struct Intake<P> {
    waiting: Waiting<P>,
    max_age: Duration,
    /// Tickets of the frames in the detector, in order.
    judging: VecDeque<Ticket>,
    token: bool,
    ended: bool,
    /// Why new frames are no longer judged.
    closed: Option<Reason>,
}

#[derive(Debug)]
enum Waiting<P> {
    Free(Mailbox<P>),
    Parts(PartQueue<P>),
}

impl<P> Waiting<P> {
    fn take(&mut self) -> Option<Frame<P>> {
        match self {
            Waiting::Free(mailbox) => mailbox.take(),
            Waiting::Parts(queue) => queue.take(),
        }
    }

    fn front(&self) -> Option<&Frame<P>> {
        match self {
            Waiting::Free(mailbox) => mailbox.front(),
            Waiting::Parts(queue) => queue.front(),
        }
    }
}

impl<P> Intake<P> {
    /// An intake without frames.
    pub fn new(config: &FramesConfig) -> Intake<P> {
        let waiting = match config.bind {
            Binding::Free => Waiting::Free(Mailbox::default()),
            Binding::Part => Waiting::Parts(PartQueue::new(config.queue)),
        };
        Intake {
            waiting,
            max_age: config.max_age(),
            judging: VecDeque::with_capacity(AHEAD),
            token: false,
            ended: false,
            closed: None,
        }
    }

    /// Takes an event in at time `now` (on the tickets' clock); returns the actions that follow, in order.
    pub fn step(&mut self, event: Event<P>, now: Duration) -> Vec<Action<P>> {
        let mut actions = Vec::new();
        self.expire(now, &mut actions);
        match event {
            Event::Captured(frame) => self.admit(frame, now, &mut actions),
            Event::Unjudgeable(ticket, judged) => actions.push(report(ticket, judged, now)),
            Event::Token => self.token = true,
            // Both stages have a frame. A frame that waits here may still be replaced or become stale.
            Event::Ready if self.judging.len() >= AHEAD => {}
            Event::Ready => match self.waiting.take() {
                Some(frame) => {
                    self.judging.push_back(frame.ticket.clone());
                    actions.push(Action::Judge(frame));
                }
                None if self.ended => actions.push(Action::Finish),
                None if std::mem::take(&mut self.token) => actions.push(Action::Live),
                None => {}
            },
            Event::Judged(judged) => {
                actions.extend(self.judging.pop_front().map(|ticket| report(ticket, judged, now)));
            }
            Event::Ended => self.ended = true,
            Event::Stop => self.close(Reason::Stopped, now, &mut actions),
            Event::DetectorLost => {
                let judging = self.judging.drain(..);
                actions.extend(judging.map(|ticket| report(ticket, ScoredVerdict::unknown(Reason::DetectorLost), now)));
                self.close(Reason::DetectorLost, now, &mut actions);
            }
        }
        actions
    }

    /// Whether new frames are no longer judged.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Free-running frames that newer ones replaced.
    pub fn replaced(&self) -> u64 {
        match &self.waiting {
            Waiting::Free(mailbox) => mailbox.replaced(),
            Waiting::Parts(_) => 0,
        }
    }

    fn admit(&mut self, frame: Frame<P>, now: Duration, actions: &mut Vec<Action<P>>) {
        if let Some(reason) = self.closed {
            actions.push(report(frame.ticket, ScoredVerdict::unknown(reason), now));
            return;
        }
        match &mut self.waiting {
            Waiting::Free(mailbox) => mailbox.put(frame),
            Waiting::Parts(queue) => {
                if let Err(frame) = queue.put(frame) {
                    actions.push(report(frame.ticket, ScoredVerdict::unknown(Reason::QueueOverflow), now));
                }
            }
        }
    }

    /// Makes stale frames unknown. Frames wait in the order of their capture, so the stale ones are in front.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action<P>>) {
        let max_age = self.max_age;
        let is_stale = |frame: &Frame<P>| now.saturating_sub(frame.ticket.captured) > max_age;
        while self.waiting.front().is_some_and(is_stale) {
            actions.extend(self.waiting.take().map(|frame| report(frame.ticket, ScoredVerdict::unknown(Reason::Stale), now)));
        }
    }

    fn close(&mut self, reason: Reason, now: Duration, actions: &mut Vec<Action<P>>) {
        self.ended = true;
        self.closed.get_or_insert(reason);
        while let Some(frame) = self.waiting.take() {
            actions.push(report(frame.ticket, ScoredVerdict::unknown(reason), now));
        }
    }
}

fn report<P>(ticket: Ticket, judged: ScoredVerdict, now: Duration) -> Action<P> {
    let latency = now.saturating_sub(ticket.captured);
    Action::Report(Outcome::new(ticket, judged, latency))
}
