//! The threads that take frames, one for each camera.

use verdict::{Outcome, Reason, ScoredVerdict, Ticket};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use detector::picture::Picture;

use super::intake::Event;
use super::link::Command;
use super::progress::Worker;
use super::queue::Frame;
use super::threads::{Line, OnDrop, PATIENCE, Pipeline, PipelineError};
use crate::camera::{Capture, Shot, Source};
use config::Binding;
use config::line::TriggerBy;
use crate::line::{Match, Matching, MatchingEvent, Presence, TriggeredPart};

/// [`PATIENCE`] while parts and products come by other ways than frames.
const SHORT_PATIENCE: Duration = Duration::from_millis(2);

/// What makes parts of a camera's frames.
enum Parts {
    /// The line tells of parts; each is in one frame.
    Told(Box<Matching<Shot>>),
    /// The frames themselves: each one, or those in which something appears. Counts them.
    Frames(Option<Presence>, u64),
    /// Nothing: frames run freely.
    None,
}

impl Pipeline<'_> {
    /// Capture thread of a view: from its source into the intake.
    pub(super) fn capture(
        &self,
        view: usize,
        source: &mut impl Source,
        outcomes: SyncSender<Outcome>,
    ) -> Result<(), PipelineError> {
        let _ended = OnDrop(|| {
            // It only ends before the others by a fault.
            self.failed.store(true, Ordering::Relaxed);
            if self.capturing.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.post(Event::Ended, &outcomes);
            }
        });
        let mut parts = self.parts(view);
        let mut product = self.line.map_or(0, |line| line.product);
        let polls = matches!(parts, Parts::Told(_)) || self.line.is_some_and(|line| line.settings.product.is_some());
        let patience = if polls { SHORT_PATIENCE } else { PATIENCE };
        let clock = self.progress.clock();
        let mut token = Duration::ZERO;
        let mut result = Ok(());
        let mut delivers = true;
        let mut admit = |found| self.admit(view, found, &outcomes);
        while !self.lock().is_closed() && !self.is_over() {
            self.progress.beat(Worker::Capture(view));
            let now = clock.now();
            if now >= token {
                self.post(Event::Token, &outcomes);
                token = now + PATIENCE;
            }
            if self.stop.load(Ordering::Relaxed) {
                self.post(Event::Stop, &outcomes);
                break;
            }
            if let Some(line) = self.line {
                // Before the parts: those of the product before are there by then.
                let chosen = line.link.product();
                if let Parts::Told(matching) = &mut parts {
                    while let Some(seen) = line.link.next_part(view) {
                        source.trigger(clock.instant(seen.at));
                        matching.step(MatchingEvent::Part(seen), clock.now(), &mut admit);
                    }
                }
                // Parts on their way keep the settings of their product until their frames are taken.
                let old_parts = matches!(&parts, Parts::Told(matching) if matching.waits_for_other_than(chosen));
                if chosen != product && !old_parts {
                    source.set_product(chosen);
                    product = chosen;
                }
            }
            let shot = if delivers {
                source.next(patience)
            } else {
                thread::sleep(patience);
                Ok(Capture::Nothing)
            };
            let shot = match shot {
                Ok(shot) => shot,
                Err(error) => {
                    result = Err(error.into());
                    break;
                }
            };
            match (&mut parts, shot) {
                (_, Capture::End) => {
                    delivers = false;
                    self.delivering.fetch_sub(1, Ordering::Relaxed);
                }
                (Parts::Told(matching), Capture::Shot(shot)) => {
                    let at = clock.at(shot.at);
                    matching.step(MatchingEvent::Frame { at, frame: shot }, clock.now(), &mut admit);
                }
                // While others go on, this view of their parts is missing.
                (Parts::Told(matching), Capture::Nothing) if !delivers => matching.finish(Reason::NoFrame, &mut admit),
                (Parts::Told(matching), Capture::Nothing) => matching.step(MatchingEvent::Tick, clock.now(), &mut admit),
                (Parts::Frames(presence, count), Capture::Shot(shot)) => {
                    let appears = |presence: &mut Presence| shot.picture.as_ref().is_ok_and(|picture| presence.appears(picture));
                    if presence.as_mut().is_none_or(appears) {
                        *count += 1;
                        self.frame(view, shot, Some(*count), product, &outcomes);
                    }
                }
                (Parts::None, Capture::Shot(shot)) => self.frame(view, shot, None, product, &outcomes),
                (Parts::Frames(..) | Parts::None, Capture::Nothing) => {}
            }
        }
        if let Parts::Told(mut matching) = parts {
            let stopped = self.stop.load(Ordering::Relaxed);
            matching.finish(if stopped { Reason::Stopped } else { Reason::NoFrame }, &mut admit);
        }
        result
    }

    fn parts(&self, view: usize) -> Parts {
        match (self.line, self.binding) {
            (Some(Line { settings, .. }), _) if view > 0 || !settings.trigger.is_a_frame() => {
                Parts::Told(Box::new(Matching::new(&settings.trigger, settings.control.parts)))
            }
            (Some(Line { settings, .. }), _) => match &settings.trigger.by {
                TriggerBy::Presence(config) => Parts::Frames(Some(Presence::new(config.clone())), 0),
                _ => Parts::Frames(None, 0),
            },
            (None, Binding::Part) => Parts::Frames(None, 0),
            (None, Binding::Free) => Parts::None,
        }
    }

    /// No source will give a frame that somebody waits for.
    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.delivering.load(Ordering::Relaxed) == 0
    }

    fn next_sequence(&self) -> u64 {
        self.frames.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A frame that is a part itself, or none at all. `product` is the one that the source was told last.
    fn frame(&self, view: usize, shot: Shot, part: Option<u64>, product: usize, outcomes: &SyncSender<Outcome>) {
        let at = self.progress.clock().at(shot.at);
        let doubt = if shot.product == Some(product) { None } else { Some(Reason::ProductChange) };
        if let Some((line, part)) = self.line.zip(part) {
            line.link.send(Command::TriggeredPart(TriggeredPart { part, at, product, doubt }));
        }
        let product = shot.product;
        let ticket = Ticket { sequence: self.next_sequence(), part, source: shot.source, captured: at, product, view };
        self.post(judgeable(ticket, shot.picture, doubt), outcomes);
    }

    /// What the matching found.
    fn admit(&self, view: usize, found: Match<Shot>, outcomes: &SyncSender<Outcome>) {
        let ticket = |TriggeredPart { part, at, product, doubt }, source| {
            let product = if doubt.is_none() { Some(product) } else { None };
            Ticket { sequence: self.next_sequence(), part: Some(part), source, captured: at, product, view }
        };
        let event = match found {
            Match::Bound(seen, Shot { source, picture, product, .. }) => {
                judgeable(ticket(seen, source), picture, seen.judgeable(product).err())
            }
            // A part of no certain product is that, whether or not it was seen.
            Match::Unmatched(seen, reason) => {
                Event::Unjudgeable(ticket(seen, String::new()), Judgement::unknown(seen.doubt.unwrap_or(reason)))
            }
            Match::Surplus(_) => {
                if let Some(Line { link, settings, .. }) = self.line
                    && settings.trigger.sensor_waits
                {
                    link.count_surplus_frame();
                }
                return;
            }
        };
        self.post(event, outcomes);
    }
}

fn judgeable(ticket: Ticket, picture: Result<Picture, String>, doubt: Option<Reason>) -> Event<Picture> {
    match (picture, doubt) {
        (_, Some(reason)) => Event::Unjudgeable(ticket, Judgement::unknown(reason)),
        (Ok(picture), None) => Event::Captured(Frame { ticket, picture }),
        (Err(detail), None) => Event::Unjudgeable(ticket, Judgement::Unknown { reason: Reason::Unreadable, detail }),
    }
}
