//! The capture thread of a view: puts the parts and frames of its capture loop into the intake.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use detector::picture::Picture;
use verdict::{Outcome, Reason, ScoredVerdict, Ticket};

use super::capture::{PATIENCE, PartFinder, PartSink, ViewCapture};
use super::intake::Event;
use super::link::Command;
use super::pipeline::{OnDrop, Pipeline, PipelineError};
use super::progress::Worker;
use super::queue::Frame;
use crate::camera::{Shot, Source};
use crate::line::{Match, TriggeredPart};

impl Pipeline<'_> {
    /// Capture thread of a view: brings its parts and frames from the source into the intake.
    pub(super) fn capture(
        &self,
        view: usize,
        source: &mut impl Source,
        outcomes: SyncSender<Outcome>,
    ) -> Result<(), PipelineError> {
        let _ended = OnDrop(|| {
            // A capture thread ends before the pipeline stops only by a fault.
            self.failed.store(true, Ordering::Relaxed);
            if self.capturing.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.post(Event::Ended, &outcomes);
            }
        });
        let parts = match self.line {
            Some(line) if view > 0 => PartFinder::by_line(line.settings),
            line => PartFinder::of_first_view(line.map(|line| line.settings), self.binding),
        };
        let (link, product) = (self.line.map(|line| line.link), self.line.map_or(0, |line| line.product));
        let capture = ViewCapture { parts, link, view, product, clock: self.progress.clock() };
        let mut sink = ViewSink { pipeline: self, view, outcomes: &outcomes, next_token: Duration::ZERO };
        Ok(capture.run(source, &mut sink)?)
    }

    /// Whether no source has more frames, or a capture thread has failed.
    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.delivering.load(Ordering::Relaxed) == 0
    }
}

/// Puts the parts and frames of a view's capture loop into the intake.
struct ViewSink<'a> {
    pipeline: &'a Pipeline<'a>,
    view: usize,
    outcomes: &'a SyncSender<Outcome>,
    next_token: Duration,
}

impl ViewSink<'_> {
    fn post(&self, event: Event<Picture>) {
        self.pipeline.post(event, self.outcomes);
    }

    fn ticket(&self, part: Option<u64>, source: String, captured: Duration, product: Option<usize>) -> Ticket {
        let sequence = self.pipeline.frames.fetch_add(1, Ordering::Relaxed) + 1;
        Ticket { sequence, part, source, captured, product, view: self.view }
    }

    fn ticket_of(&self, part: TriggeredPart, source: String) -> Ticket {
        self.ticket(Some(part.part), source, part.at, part.doubt.is_none().then_some(part.product))
    }
}

impl PartSink for ViewSink<'_> {
    fn goes_on(&mut self) -> bool {
        let pipeline = self.pipeline;
        if pipeline.lock().is_closed() || pipeline.is_over() {
            return false;
        }
        pipeline.progress.beat(Worker::Capture(self.view));
        let now = pipeline.progress.clock().now();
        if now >= self.next_token {
            self.post(Event::Token);
            self.next_token = now + PATIENCE;
        }
        if pipeline.stop.load(Ordering::Relaxed) {
            self.post(Event::Stop);
            return false;
        }
        true
    }

    fn frame(&mut self, shot: Shot, part: Option<u64>, product: usize) {
        let at = self.pipeline.progress.clock().at(shot.at);
        let doubt = if shot.product == Some(product) { None } else { Some(Reason::ProductChange) };
        if let Some((line, part)) = self.pipeline.line.zip(part) {
            line.link.send(Command::Triggered(TriggeredPart { part, at, product, doubt }));
        }
        let ticket = self.ticket(part, shot.source, at, shot.product);
        self.post(judgeable(ticket, shot.picture, doubt));
    }

    fn matched(&mut self, matched: Match<Shot>) {
        match matched {
            Match::Bound(part, Shot { source, picture, product, .. }) => {
                self.post(judgeable(self.ticket_of(part, source), picture, part.judgeable(product).err()));
            }
            // A product in doubt is the reason to report, whether or not the part has a frame.
            Match::Unmatched(part, reason) => {
                let unknown = ScoredVerdict::unknown(part.doubt.unwrap_or(reason));
                self.post(Event::Unjudgeable(self.ticket_of(part, String::new()), unknown));
            }
            Match::Surplus(_) => {
                if let Some(line) = self.pipeline.line.filter(|line| line.settings.trigger.sensor_waits) {
                    line.link.count_surplus_frame();
                }
            }
        }
    }

    fn source_ended(&mut self) {
        self.pipeline.delivering.fetch_sub(1, Ordering::Relaxed);
    }

    fn reason_at_end(&self) -> Reason {
        if self.pipeline.stop.load(Ordering::Relaxed) { Reason::Stopped } else { Reason::NoFrame }
    }
}

/// The event for a frame: captured, or unjudgeable with its reason.
fn judgeable(ticket: Ticket, picture: Result<Picture, String>, doubt: Option<Reason>) -> Event<Picture> {
    match (picture, doubt) {
        (_, Some(reason)) => Event::Unjudgeable(ticket, ScoredVerdict::unknown(reason)),
        (Ok(picture), None) => Event::Captured(Frame { ticket, picture }),
        (Err(detail), None) => Event::Unjudgeable(ticket, ScoredVerdict::unknown_because(Reason::Unreadable, detail)),
    }
}
