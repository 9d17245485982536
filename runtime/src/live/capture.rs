//! Capturing one view: from its source to parts with their frames.
//!
//! The same loop serves the running line, whose [`PartSink`] is the pipeline, and commissioning, whose [`PartSink`] only records the parts.

use std::os::fd::AsFd;
use std::time::Duration;

use config::Binding;
use config::line::{LineSettings, TriggerBy};
use verdict::Reason;

use super::clock::Clock;
use super::link::LineLink;
use crate::camera::{Capture, Shot, Source, wait};
use crate::line::{Match, Matching, MatchingEvent, Presence};

/// Longest time after which a capture thread asks its sink whether to go on.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// How the parts of a view are found.
#[derive(Debug)]
pub enum PartFinder {
    /// The line thread announces parts; each is in one frame.
    ByLine(Box<Matching<Shot>>),
    /// Frames make parts: each frame, or each frame in which a part appears. Holds the number of parts so far.
    ByFrame(Option<Presence>, u64),
    /// There are no parts: frames run freely.
    None,
}

impl PartFinder {
    /// How the parts of the first view of a production line are found, or those of a source without a line.
    pub fn of_first_view(line: Option<&LineSettings>, binding: Binding) -> PartFinder {
        match (line, binding) {
            (Some(line), _) => match &line.trigger.by {
                TriggerBy::Frame => PartFinder::ByFrame(None, 0),
                TriggerBy::Presence(config) => PartFinder::ByFrame(Some(Presence::new(config.clone())), 0),
                TriggerBy::Edge { .. } | TriggerBy::Interval(_) | TriggerBy::Socket(_) => PartFinder::by_line(line),
            },
            (None, Binding::Part) => PartFinder::ByFrame(None, 0),
            (None, Binding::Free) => PartFinder::None,
        }
    }

    /// How the parts of a view are found when the line thread announces them.
    pub fn by_line(line: &LineSettings) -> PartFinder {
        PartFinder::ByLine(Box::new(Matching::new(&line.trigger, line.control.parts)))
    }
}

/// Receives the frames and matches of a capture loop.
pub trait PartSink {
    /// Whether to go on; asked at least every [`PATIENCE`].
    fn goes_on(&mut self) -> bool;

    /// A frame that makes the part of this number, or that runs freely. `product` is the product whose settings the source was given last.
    fn frame(&mut self, shot: Shot, part: Option<u64>, product: usize);

    /// What became of a part that the line thread announced, or of a frame that shows no part.
    fn matched(&mut self, matched: Match<Shot>);

    /// The source has no more frames.
    fn source_ended(&mut self);

    /// The reason for parts that still wait for their frames when the loop ends.
    fn reason_at_end(&self) -> Reason;
}

/// The loop that captures one view.
#[derive(Debug)]
pub struct ViewCapture<'a> {
    /// How parts are found.
    pub parts: PartFinder,
    /// The link to the line thread; none without a line.
    pub link: Option<&'a LineLink<'a>>,
    /// The number of the view.
    pub view: usize,
    /// The product that the source was opened for.
    pub product: usize,
    /// The clock of the service.
    pub clock: Clock,
}

impl ViewCapture<'_> {
    /// Runs until [`PartSink::goes_on`] returns `false`. It sleeps until the source has a frame, the line thread announces a part or
    /// another product, or a part has waited long enough.
    ///
    /// # Errors
    /// When the source fails for good. The sink has all waiting parts by then.
    pub fn run(mut self, source: &mut impl Source, sink: &mut impl PartSink) -> detector::Result<()> {
        let mut delivers = true;
        let mut result = Ok(());
        while sink.goes_on() {
            self.follow_line(source, sink);
            let wake = self.link.map(|link| link.view_wake(self.view).as_fd());
            let captured = match delivers {
                true => source.next(self.patience(), wake),
                false => {
                    wait(PATIENCE, wake);
                    Ok(Capture::Nothing)
                }
            };
            match captured {
                Ok(Capture::Shot(shot)) => self.take(shot, sink),
                Ok(Capture::Nothing) => self.idle(delivers, sink),
                Ok(Capture::End) => {
                    delivers = false;
                    sink.source_ended();
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if let PartFinder::ByLine(mut matching) = self.parts {
            matching.finish(sink.reason_at_end(), &mut |matched| sink.matched(matched));
        }
        result
    }

    /// Takes over the parts and the product that the line thread has announced since the last round.
    fn follow_line(&mut self, source: &mut impl Source, sink: &mut impl PartSink) {
        let Some(link) = self.link else { return };
        link.view_wake(self.view).clear();
        // The product is read before the parts: all parts of the product before it have been announced by then.
        let chosen = link.product();
        let mut has_old_parts = false;
        if let PartFinder::ByLine(matching) = &mut self.parts {
            while let Some(part) = link.next_part(self.view) {
                source.trigger(self.clock.instant(part.at));
                matching.step(MatchingEvent::Part(part), self.clock.now(), &mut |matched| sink.matched(matched));
            }
            has_old_parts = matching.waits_for_other_than(chosen);
        }
        // The settings change only after all parts of the old product have their frames.
        if chosen != self.product && !has_old_parts {
            source.set_product(chosen);
            self.product = chosen;
        }
    }

    fn patience(&self) -> Duration {
        let due = match &self.parts {
            PartFinder::ByLine(matching) => matching.due(),
            PartFinder::ByFrame(..) | PartFinder::None => None,
        };
        due.map_or(PATIENCE, |due| PATIENCE.min(due.saturating_sub(self.clock.now())))
    }

    fn take(&mut self, shot: Shot, sink: &mut impl PartSink) {
        match &mut self.parts {
            PartFinder::ByLine(matching) => {
                let event = MatchingEvent::Frame { at: self.clock.at(shot.at), frame: shot };
                matching.step(event, self.clock.now(), &mut |matched| sink.matched(matched));
            }
            PartFinder::ByFrame(presence, count) => {
                let appears = |presence: &mut Presence| shot.picture.as_ref().is_ok_and(|picture| presence.appears(picture));
                if presence.as_mut().is_none_or(appears) {
                    *count += 1;
                    sink.frame(shot, Some(*count), self.product);
                }
            }
            PartFinder::None => sink.frame(shot, None, self.product),
        }
    }

    fn idle(&mut self, delivers: bool, sink: &mut impl PartSink) {
        let PartFinder::ByLine(matching) = &mut self.parts else { return };
        match delivers {
            true => matching.step(MatchingEvent::Tick, self.clock.now(), &mut |matched| sink.matched(matched)),
            // Other views go on; parts have no frame of this one.
            false => matching.finish(Reason::NoFrame, &mut |matched| sink.matched(matched)),
        }
    }
}
