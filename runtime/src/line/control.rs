//! Line control: follows the parts from trigger to actuator, and drives the outputs.

use std::collections::VecDeque;
use std::time::Duration;

use config::line::{ControlConfig, OnUnknown, PulseConfig, Travel};
use verdict::{Disposition, Output, Reason, Verdict};

use super::action::{Action, Decision, StopCause};
use super::part::{Due, Part, Place};
use super::pulse::{Fired, Pulse, PulseOutput};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part was triggered. Part numbers rise.
    Triggered {
        /// The number of the part.
        part: u64,
        /// Time and count of its trigger.
        place: Place,
        /// The number of its product, whose delay and deadline the part keeps.
        product: usize,
        /// Why its product is in doubt.
        doubt: Option<Reason>,
    },
    /// The detector or the pipeline has a verdict for one view of a part.
    Judged {
        /// The number of the part.
        part: u64,
        /// The number of the view.
        view: usize,
        /// The verdict of the view.
        verdict: Verdict,
    },
    /// The product of the parts that were triggered since then is in doubt.
    Doubt {
        /// From when on.
        since: Duration,
    },
    /// The code, or the name at the socket, belongs to no product.
    NoSuchProduct,
    /// The belt has moved.
    Count {
        /// Pulses since the start.
        count: i64,
        /// When the pulse came.
        at: Duration,
    },
    /// The belt's position is lost.
    EncoderLost,
    /// A person has attended to the stop: the stop output becomes inactive.
    Reset,
    /// The service ends: parts in transit get no pulse.
    Abandon,
    /// Only time has passed.
    Tick,
}

/// Follows parts from trigger to actuator, in order, and drives the outputs.
///
/// It never allocates after [`Control::new`].
#[derive(Debug)]
pub struct Control {
    config: ControlConfig,
    parts: VecDeque<Part>,
    /// The newest part, whether or not it is still in transit.
    last: Option<Part>,
    /// The encoder's count, and when it came.
    count: i64,
    count_at: Duration,
    reject: Pulse,
    good: Pulse,
    strobe: Pulse,
    busy: bool,
    stopped: bool,
    /// Unknown parts in a row, and rejected parts in a row.
    unknowns: u32,
    rejects: u32,
}

impl Control {
    /// A line without parts; every output is inactive.
    pub fn new(config: ControlConfig) -> Control {
        let pulse = |config: PulseConfig| Pulse::new(config.width, config.rest);
        Control {
            parts: VecDeque::with_capacity(config.parts),
            last: None,
            count: 0,
            count_at: Duration::ZERO,
            reject: pulse(config.pulses.reject),
            good: pulse(config.pulses.good),
            strobe: pulse(config.pulses.strobe),
            busy: false,
            stopped: false,
            unknowns: 0,
            rejects: 0,
            config,
        }
    }

    /// Takes an event in at time `now` and calls `act` for each action, in order. Actions that were due before `now` come first.
    pub fn step(&mut self, event: Event, now: Duration, act: &mut impl FnMut(Action)) {
        self.advance(now, act);
        match event {
            Event::Triggered { part, place, product, doubt } => self.admit(part, place, product, doubt, now, act),
            Event::Judged { part, view, verdict } => self.judge(part, view, verdict, act),
            Event::Doubt { since } => {
                let unknown = Verdict::Unknown(Reason::ProductChange);
                self.parts.iter_mut().filter(|part| part.place.at >= since).for_each(|part| part.fix_verdict(unknown));
            }
            Event::NoSuchProduct => self.raise(StopCause::NoSuchProduct, act),
            Event::Count { count, at } => (self.count, self.count_at) = (count, at),
            Event::EncoderLost => {
                self.parts.iter_mut().for_each(|part| part.fix_verdict(Verdict::Unknown(Reason::EncoderLost)));
                self.raise(StopCause::EncoderLost, act);
            }
            Event::Reset => {
                (self.unknowns, self.rejects) = (0, 0);
                if std::mem::take(&mut self.stopped) {
                    act(Action::Set(Output::Stop, false));
                }
            }
            Event::Abandon => {
                while let Some(part) = self.parts.pop_front() {
                    let verdict = Verdict::Unknown(Reason::Stopped);
                    act(decision(&part, verdict, Disposition::Nothing, now));
                }
            }
            Event::Tick => {}
        }
        self.advance(now, act);
        let busy = self.parts.iter().any(|part| part.verdict.is_none());
        if std::mem::replace(&mut self.busy, busy) != busy {
            act(Action::Set(Output::Busy, busy));
        }
    }

    /// The outputs that the step at `now` made active rose at `at`: their pulses end a whole width after `at`.
    pub fn rose(&mut self, now: Duration, at: Duration) {
        for pulse in [&mut self.reject, &mut self.good, &mut self.strobe] {
            pulse.rose(now, at);
        }
    }

    /// When to step again at the latest.
    pub fn due(&self) -> Option<Duration> {
        let pulses = [&self.reject, &self.good, &self.strobe].map(Pulse::due).into_iter().flatten();
        let arrival = self.parts.front().and_then(|part| self.arrival(part));
        pulses.chain(arrival).chain(self.deadline()).min()
    }

    /// Parts in transit.
    pub fn in_transit(&self) -> usize {
        self.parts.len()
    }

    /// Whether the stop output is active.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn admit(
        &mut self,
        number: u64,
        mut place: Place,
        product: usize,
        doubt: Option<Reason>,
        now: Duration,
        act: &mut impl FnMut(Action),
    ) {
        if let Some(last) = self.last {
            // Trigger times of different origin may disagree a little: the order of the parts must not change.
            place = Place { at: place.at.max(last.place.at), count: place.count.max(last.place.count) };
        }
        // A configuration has a timing for every product, and at least one.
        let timing = self.config.timing(product);
        let mut part = Part::new(number, place, timing, self.config.views);
        if let Some(reason) = doubt {
            part.fix_verdict(Verdict::Unknown(reason));
        }
        // After a reset, the next part without a product raises the stop again.
        if doubt == Some(Reason::NoProduct) {
            self.raise(StopCause::NoSuchProduct, act);
        }
        let crowded = self.last.as_ref().is_some_and(|last| self.is_crowded(last, &part));
        part.due = self.last.map_or(part.due, |last| part.due.not_before(last.due));
        self.last = Some(part);
        if crowded {
            let crowded = Verdict::Unknown(Reason::Crowded);
            part.fix_verdict(crowded);
            // The actuator cannot tell the two parts apart: both become unknown.
            if let Some(neighbour) = self.parts.back_mut() {
                neighbour.fix_verdict(crowded);
            }
        }
        self.fire(PulseOutput::Strobe, now, act);
        if self.parts.len() == self.config.parts {
            act(decision(&part, Verdict::Unknown(Reason::LineOverflow), Disposition::Nothing, now));
            self.raise(StopCause::TooManyParts, act);
        } else {
            self.parts.push_back(part);
        }
    }

    /// Whether two parts are so close, at the trigger or at the actuator, that the actuator cannot tell them apart. Parts of one product
    /// keep their distance; parts of products with different delays may come closer on the way.
    fn is_crowded(&self, last: &Part, next: &Part) -> bool {
        match (last.due, next.due, self.config.spacing) {
            (Due::At(last_due), Due::At(next_due), Travel::Time(spacing)) => {
                next.place.at < last.place.at + spacing || next_due < last_due + spacing
            }
            (Due::Count(last_due), Due::Count(next_due), Travel::Pulses(spacing)) => {
                (next.place.count - last.place.count).min(next_due - last_due) < i64::from(spacing)
            }
            _ => false,
        }
    }

    fn judge(&mut self, number: u64, view: usize, verdict: Verdict, act: &mut impl FnMut(Action)) {
        let index = self.parts.binary_search_by_key(&number, |part| part.number);
        let part = index.ok().and_then(|index| self.parts.get_mut(index));
        if !part.is_some_and(|part| part.add_view_verdict(view, verdict)) {
            act(Action::Late(number));
        }
    }

    /// Does everything that is due by `now`, in order of time.
    fn advance(&mut self, now: Duration, act: &mut impl FnMut(Action)) {
        while let Some(part) = self.parts.front().copied().filter(|part| self.has_arrived(part, now)) {
            let arrival = self.arrival(&part).unwrap_or(self.count_at);
            // A pulse whose end was due before this part arrived must end first, or the two pulses would merge.
            self.end_pulses(arrival, now, act);
            self.expire(now);
            self.decide_first(now.saturating_sub(arrival), now, act);
        }
        self.end_pulses(now, now, act);
        self.expire(now);
    }

    fn arrival(&self, part: &Part) -> Option<Duration> {
        match part.due {
            Due::At(at) => Some(at),
            Due::Count(_) => None,
        }
    }

    fn has_arrived(&self, part: &Part, now: Duration) -> bool {
        match part.due {
            Due::At(at) => at <= now,
            Due::Count(count) => count <= self.count,
        }
    }

    /// The earliest deadline of the parts without a verdict.
    fn deadline(&self) -> Option<Duration> {
        self.parts.iter().filter(|part| part.verdict.is_none()).filter_map(|part| part.deadline).min()
    }

    /// Fixes the verdict of each part whose deadline is over.
    fn expire(&mut self, now: Duration) {
        let is_over = |part: &&mut Part| part.verdict.is_none() && part.deadline.is_some_and(|deadline| deadline <= now);
        self.parts.iter_mut().filter(is_over).for_each(|part| part.fix_verdict(part.final_verdict()));
    }

    /// Decides the first part, which has reached the actuator.
    fn decide_first(&mut self, lateness: Duration, now: Duration, act: &mut impl FnMut(Action)) {
        let Some(part) = self.parts.pop_front() else { return };
        let verdict = part.final_verdict();
        let disposition = match (verdict, self.config.on_unknown) {
            (Verdict::Good, _) | (Verdict::Unknown(_), OnUnknown::Pass) => Disposition::Pass,
            (Verdict::Anomalous, _) | (Verdict::Unknown(_), OnUnknown::Reject) => Disposition::Reject,
            (Verdict::Unknown(_), OnUnknown::Stop) => Disposition::Stop,
        };
        let too_late = lateness > self.config.tolerance;
        let disposition = if too_late { Disposition::Stop } else { disposition };
        match disposition {
            Disposition::Pass => self.fire(PulseOutput::Good, now, act),
            Disposition::Reject => self.fire(PulseOutput::Reject, now, act),
            Disposition::Stop => self.raise(if too_late { StopCause::TooLate } else { StopCause::Unknown }, act),
            Disposition::Nothing => {}
        }
        act(decision(&part, verdict, disposition, now));
        let run = |count: u32, goes_on: bool| if goes_on { count.saturating_add(1) } else { 0 };
        self.unknowns = run(self.unknowns, matches!(verdict, Verdict::Unknown(_)));
        self.rejects = run(self.rejects, disposition == Disposition::Reject);
        if self.config.stop_after_unknowns.is_some_and(|limit| self.unknowns >= limit) {
            self.raise(StopCause::UnknownsInARow, act);
        }
        if self.config.stop_after_rejects.is_some_and(|limit| self.rejects >= limit) {
            self.raise(StopCause::RejectsInARow, act);
        }
    }

    fn pulse(&mut self, output: PulseOutput) -> &mut Pulse {
        match output {
            PulseOutput::Reject => &mut self.reject,
            PulseOutput::Good => &mut self.good,
            PulseOutput::Strobe => &mut self.strobe,
        }
    }

    fn fire(&mut self, output: PulseOutput, now: Duration, act: &mut impl FnMut(Action)) {
        match self.pulse(output).fire(now) {
            Fired::Merged => {}
            Fired::Started => act(Action::Set(output.into(), true)),
            Fired::TooSoon => {
                act(Action::Set(output.into(), true));
                self.raise(StopCause::PulsesTooClose(output.into()), act);
            }
        }
    }

    /// Ends the pulses whose end is due by `time`.
    fn end_pulses(&mut self, time: Duration, now: Duration, act: &mut impl FnMut(Action)) {
        for output in PulseOutput::ALL {
            if self.pulse(output).end(time, now) {
                act(Action::Set(output.into(), false));
            }
        }
    }

    fn raise(&mut self, cause: StopCause, act: &mut impl FnMut(Action)) {
        if !std::mem::replace(&mut self.stopped, true) {
            act(Action::Set(Output::Stop, true));
            act(Action::Stopped(cause));
        }
    }
}

fn decision(part: &Part, verdict: Verdict, disposition: Disposition, now: Duration) -> Action {
    let after = now.saturating_sub(part.place.at);
    Action::Decided(Decision { part: part.number, verdict, disposition, at: part.place.at, after })
}
