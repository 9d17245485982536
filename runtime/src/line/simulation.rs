//! A production line in virtual time against [`Control`]: the pulses of the outputs are compared with the positions of the parts.

use std::collections::BTreeMap;
use std::time::Duration;

use config::line::{ControlConfig, OnUnknown, PulseConfig, Pulses, Timing, Travel};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use verdict::{Disposition, Output, Reason, Verdict};

use super::action::{Action, Decision, StopCause};
use super::control::{Control, Event};
use super::part::Place;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

pub fn config() -> ControlConfig {
    let pulse = PulseConfig { width: ms(12), rest: Duration::ZERO };
    ControlConfig {
        timings: vec![Timing { delay: Travel::Time(ms(400)), deadline: Some(ms(390)) }],
        spacing: Travel::Time(ms(12)),
        on_unknown: OnUnknown::Reject,
        stop_after_unknowns: None,
        stop_after_rejects: None,
        parts: 64,
        tolerance: ms(5),
        pulses: Pulses { reject: pulse, good: pulse, strobe: pulse },
        views: 1,
    }
}

/// All actions of a control.
#[derive(Default)]
struct Record {
    decided: Vec<Decision>,
    /// When each output was active.
    active: BTreeMap<Output, Vec<(Duration, Duration)>>,
    since: BTreeMap<Output, Duration>,
    stops: Vec<StopCause>,
    late: u64,
}

impl Record {
    fn take(&mut self, action: Action, now: Duration) {
        match action {
            Action::Set(output, true) => assert!(self.since.insert(output, now).is_none(), "{output:?} was active already"),
            Action::Set(output, false) => {
                let since = self.since.remove(&output).expect("it was inactive already");
                self.active.entry(output).or_default().push((since, now));
            }
            Action::Decided(decided) => self.decided.push(decided),
            Action::Stopped(cause) => self.stops.push(cause),
            Action::Late(_) => self.late += 1,
        }
    }

    fn was_active(&self, output: Output, at: Duration) -> bool {
        let Some(pulses) = self.active.get(&output) else { return false };
        let next = pulses.partition_point(|(from, _)| *from <= at);
        next > 0 && at < pulses[next - 1].1
    }
}

/// A part of a simulated line.
#[derive(Clone, Copy, Debug)]
struct Truth {
    at: Duration,
    /// When it passes the actuator.
    passes: Duration,
    verdict: Verdict,
    /// When the verdict comes; none if it never does.
    judged_at: Option<Duration>,
    crowded: bool,
}

/// Lets a control follow the parts. The line thread wakes up to `oversleep` late.
fn follow(config: &ControlConfig, parts: &[Truth], belt: Option<&[(Duration, i64)]>, oversleep: Duration, seed: u64) -> Record {
    let mut random = StdRng::seed_from_u64(seed);
    let mut events: Vec<(Duration, u8, Event)> = vec![];
    for (number, part) in (1..).zip(parts) {
        let count = belt.map_or(0, |belt| belt[belt.partition_point(|(at, _)| *at <= part.at) - 1].1);
        events.push((
            part.at,
            1,
            Event::Triggered { part: number, place: Place { at: part.at, count }, product: 0, doubt: None },
        ));
        if let Some(judged_at) = part.judged_at {
            events.push((judged_at, 2, Event::Judged { part: number, view: 0, verdict: part.verdict }));
        }
    }
    events.extend(belt.unwrap_or_default().iter().map(|(at, count)| (*at, 0, Event::Count { count: *count, at: *at })));
    events.sort_by_key(|(at, order, _)| (*at, *order));
    let mut control = Control::new(config.clone());
    let mut record = Record::default();
    let mut clock = Duration::ZERO;
    let mut sleep = |at: Duration| at + us(random.random_range(0..=oversleep.as_micros() as u64));
    for (at, _, event) in events {
        while let Some(due) = control.due().filter(|due| *due < at) {
            clock = clock.max(sleep(due));
            control.step(Event::Tick, clock, &mut |action| record.take(action, clock));
        }
        clock = clock.max(at);
        control.step(event, clock, &mut |action| record.take(action, clock));
        assert!(control.in_transit() <= config.parts);
    }
    while let Some(due) = control.due() {
        clock = clock.max(sleep(due));
        control.step(Event::Tick, clock, &mut |action| record.take(action, clock));
    }
    record
}

/// Triggers at 20 a second with jitter, and now and then a burst of parts so close that some are crowded.
fn triggers(count: usize, random: &mut StdRng) -> Vec<Duration> {
    let mut at = ms(1000);
    let mut burst = 0;
    let mut next = || {
        if burst == 0 && random.random_bool(0.01) {
            burst = random.random_range(2..6);
        }
        at += if burst > 0 {
            burst -= 1;
            us(random.random_range(6_000..20_000))
        } else {
            us(random.random_range(40_000..60_000))
        };
        at
    };
    (0..count).map(|_| next()).collect()
}

/// The parts of these triggers, with random verdicts that come at random times.
fn parts_of(triggers: Vec<Duration>, random: &mut StdRng) -> Vec<Truth> {
    let mut parts: Vec<Truth> = vec![];
    for at in triggers {
        let verdict = if random.random_bool(0.1) { Verdict::Anomalous } else { Verdict::Good };
        // One verdict in a hundred comes late, one in two hundred never.
        let judged_at = match random.random_range(0..200) {
            0 => None,
            1 | 2 => Some(at + us(random.random_range(390_000..900_000))),
            _ => Some(at + us(random.random_range(20_000..385_000))),
        };
        parts.push(Truth { at, passes: at, verdict, judged_at, crowded: false });
    }
    parts
}

/// Checks the decision about each part. Returns how many parts got a wrong pulse or lacked one, and how many were unknown.
fn judge(parts: &[Truth], record: &Record, deadline: impl Fn(&Truth) -> Duration, oversleep: Duration) -> (usize, usize) {
    assert_eq!(record.decided.len(), parts.len(), "a part without an outcome");
    let mut wrong = 0;
    let mut unknown = 0;
    for (index, (part, decided)) in parts.iter().zip(&record.decided).enumerate() {
        assert_eq!(decided.part, index as u64 + 1, "parts are decided in order, each once");
        let in_time = part.judged_at.is_some_and(|judged_at| judged_at < deadline(part));
        let expected = match (part.crowded, in_time) {
            (true, _) => Verdict::Unknown(Reason::Crowded),
            (false, true) => part.verdict,
            (false, false) => Verdict::Unknown(Reason::Deadline),
        };
        assert_eq!(decided.verdict, expected, "part {}: {part:?}", decided.part);
        let disposition = if expected == Verdict::Good { Disposition::Pass } else { Disposition::Reject };
        assert_eq!(decided.disposition, disposition);
        unknown += usize::from(matches!(expected, Verdict::Unknown(_)));
        // At this time the pulse must have begun even if the thread overslept.
        let checked_at = part.passes + oversleep;
        let hit = record.was_active(Output::Reject, checked_at);
        let passed = record.was_active(Output::Good, checked_at);
        wrong += usize::from(hit != (disposition == Disposition::Reject) || passed != (disposition == Disposition::Pass));
    }
    (wrong, unknown)
}

#[test]
fn a_hundred_thousand_parts_at_constant_speed() {
    for oversleep in [Duration::ZERO, us(900)] {
        let mut random = StdRng::seed_from_u64(1);
        let config = ControlConfig { spacing: Travel::Time(ms(13)), ..config() };
        let mut parts = parts_of(triggers(100_000, &mut random), &mut random);
        for index in 0..parts.len() {
            parts[index].passes = parts[index].at + ms(400);
            if index > 0 && parts[index].at - parts[index - 1].at < ms(13) {
                (parts[index].crowded, parts[index - 1].crowded) = (true, true);
            }
        }
        let record = follow(&config, &parts, None, oversleep, 2);
        let (wrong, unknown) = judge(&parts, &record, |part| part.at + ms(390), oversleep);
        assert_eq!(wrong, 0);
        let crowded = parts.iter().filter(|part| part.crowded).count();
        assert!(crowded > 500 && unknown > crowded + 1000, "{crowded} crowded, {unknown} unknown: too easy a line");
        assert!(record.late > 500 && record.stops.is_empty(), "{} late, {:?}", record.late, record.stops);
    }
}

/// A belt that speeds up, slows down and halts; 2000 pulses a second at full speed.
fn belt(until: Duration, random: &mut StdRng) -> Vec<(Duration, i64)> {
    let (mut at, mut count, mut period, mut left) = (Duration::ZERO, 0, us(1000), 0);
    let mut pulses = vec![(at, count)];
    while at < until {
        if left == 0 {
            left = random.random_range(200..3000);
            period = us(random.random_range(500..2500));
            if random.random_bool(0.05) {
                at += ms(random.random_range(100..2000));
            }
        }
        left -= 1;
        at += period;
        count += 1;
        pulses.push((at, count));
    }
    pulses
}

#[test]
fn a_hundred_thousand_parts_while_the_belt_changes_speed() {
    let mut random = StdRng::seed_from_u64(3);
    // 12 ms at 2000 pulses a second are 24 pulses.
    let (delay, spacing) = (400u32, 26u32);
    let config = ControlConfig {
        timings: vec![Timing { delay: Travel::Pulses(delay), deadline: None }],
        spacing: Travel::Pulses(spacing),
        parts: 512,
        ..config()
    };
    let mut parts = parts_of(triggers(100_000, &mut random), &mut random);
    let pulses = belt(parts[parts.len() - 1].at + ms(5000), &mut random);
    let count_at = |at: Duration| pulses[pulses.partition_point(|(time, _)| *time <= at) - 1].1;
    let counts: Vec<i64> = parts.iter().map(|part| count_at(part.at)).collect();
    for index in 0..parts.len() {
        parts[index].passes = pulses[(counts[index] + i64::from(delay)) as usize].0;
        if index > 0 && counts[index] - counts[index - 1] < i64::from(spacing) {
            (parts[index].crowded, parts[index - 1].crowded) = (true, true);
        }
    }
    let record = follow(&config, &parts, Some(&pulses), Duration::ZERO, 4);
    let (wrong, unknown) = judge(&parts, &record, |part| part.passes, Duration::ZERO);
    assert_eq!(wrong, 0);
    let crowded = parts.iter().filter(|part| part.crowded).count();
    assert!(crowded > 500 && unknown > crowded, "{crowded} crowded, {unknown} unknown: too easy a line");
    assert!(record.stops.is_empty(), "{:?}", record.stops);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    TriggeredPart { product: usize },
    Judged { back: u64, view: usize, verdict: Verdict },
    Pulses(i64),
    Lost,
    Doubt { back: u64 },
    NoSuchProduct,
    Reset,
    Abandon,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let verdict = prop_oneof![Just(Verdict::Good), Just(Verdict::Anomalous), Just(Verdict::Unknown(Reason::Stale))];
    let step = prop_oneof![
        30 => (0usize..3).prop_map(|product| Step::TriggeredPart { product }),
        40 => (0u64..6, 0usize..3, verdict).prop_map(|(back, view, verdict)| Step::Judged { back, view, verdict }),
        20 => (-5i64..40).prop_map(Step::Pulses),
        1 => Just(Step::Lost),
        1 => (0u64..100).prop_map(|back| Step::Doubt { back }),
        1 => Just(Step::NoSuchProduct),
        2 => Just(Step::Reset),
        1 => Just(Step::Abandon),
    ];
    prop::collection::vec((0u64..60, step), 0..200)
}

proptest! {
    /// For any order of events, every part is decided exactly once and in order, pulses are whole, and no more parts are in transit than
    /// the configuration allows.
    #[test]
    fn every_part_is_decided_exactly_once(
        steps in steps(),
        encoder in any::<bool>(),
        parts in 1usize..8,
        on_unknown in prop_oneof![Just(OnUnknown::Reject), Just(OnUnknown::Pass), Just(OnUnknown::Stop)],
        deadline in prop::option::of(1u64..400),
        views in 1usize..4,
        delays in prop::collection::vec(30u32..400, 3),
    ) {
        let mut settings = ControlConfig { parts, on_unknown, views, ..config() };
        if encoder {
            settings.spacing = Travel::Pulses(20);
        }
        let delay = |delay| if encoder { Travel::Pulses(delay) } else { Travel::Time(ms(delay.into())) };
        settings.timings = delays.into_iter().map(|way| Timing { delay: delay(way), deadline: deadline.map(ms) }).collect();
        let mut control = Control::new(settings);
        let mut record = Record::default();
        let (mut now, mut newest, mut count) = (ms(1000), 0, 0);
        for (pause, step) in steps {
            let next = now + ms(pause);
            while let Some(due) = control.due().filter(|due| *due <= next) {
                now = now.max(due);
                control.step(Event::Tick, now, &mut |action| record.take(action, now));
                prop_assert!(control.due().is_none_or(|later| later > due), "time stands still");
            }
            now = next;
            let event = match step {
                Step::TriggeredPart { product } => {
                    newest += 1;
                    Event::Triggered { part: newest, place: Place { at: now, count }, product, doubt: None }
                }
                Step::Judged { back, view, verdict } => Event::Judged { part: newest.saturating_sub(back), view, verdict },
                Step::Doubt { back } => Event::Doubt { since: now - ms(back) },
                Step::NoSuchProduct => Event::NoSuchProduct,
                Step::Pulses(pulses) => {
                    count += pulses;
                    Event::Count { count, at: now }
                }
                Step::Lost => Event::EncoderLost,
                Step::Reset => Event::Reset,
                Step::Abandon => Event::Abandon,
            };
            control.step(event, now, &mut |action| record.take(action, now));
            prop_assert!(control.in_transit() <= parts);
        }
        control.step(Event::Abandon, now, &mut |action| record.take(action, now));
        let mut decided: Vec<u64> = record.decided.iter().map(|decided| decided.part).collect();
        let overflown = record.decided.iter().filter(|decided| decided.verdict == Verdict::Unknown(Reason::LineOverflow));
        if overflown.count() == 0 {
            prop_assert!(decided.is_sorted(), "{:?}", decided);
        }
        decided.sort_unstable();
        prop_assert_eq!(decided, (1..=newest).collect::<Vec<_>>());
        for output in [Output::Reject, Output::Good] {
            let pulses = record.active.get(&output).cloned().unwrap_or_default();
            prop_assert!(pulses.iter().all(|(from, to)| *to - *from >= ms(12)));
        }
        for decided in &record.decided {
            let sound = match (decided.verdict, decided.disposition) {
                (_, Disposition::Nothing) => matches!(decided.verdict, Verdict::Unknown(Reason::Stopped | Reason::LineOverflow)),
                (Verdict::Good, disposition) => disposition == Disposition::Pass,
                (Verdict::Anomalous, disposition) => disposition == Disposition::Reject,
                (Verdict::Unknown(_), Disposition::Pass) => on_unknown == OnUnknown::Pass,
                (Verdict::Unknown(_), Disposition::Reject) => on_unknown == OnUnknown::Reject,
                (Verdict::Unknown(_), Disposition::Stop) => on_unknown == OnUnknown::Stop,
            };
            prop_assert!(sound, "{:?}", decided);
        }
    }
}
