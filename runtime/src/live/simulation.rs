//! Random schedules in virtual time against [`Intake`].

use std::collections::BTreeMap;
use std::time::Duration;

use config::{Binding, FramesConfig};
use proptest::prelude::*;
use verdict::{Reason, ScoredVerdict, Ticket};

use super::intake::{Action, Event, Intake};
use super::queue::Frame;

/// An event of a schedule, some milliseconds after the one before.
#[derive(Clone, Copy, Debug)]
enum Step {
    Frame { readable: bool },
    Ready,
    Token,
    Judged { anomalous: bool },
    Stop,
    DetectorLost,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        40 => prop::bool::weighted(0.9).prop_map(|readable| Step::Frame { readable }),
        30 => Just(Step::Ready),
        5 => Just(Step::Token),
        30 => any::<bool>().prop_map(|anomalous| Step::Judged { anomalous }),
        1 => Just(Step::Stop),
        1 => Just(Step::DetectorLost),
    ];
    prop::collection::vec((0u64..30, step), 0..300)
}

fn config(bind: Binding, queue: usize) -> FramesConfig {
    FramesConfig { bind, queue, max_age_ms: 100 }
}

fn cut() -> ScoredVerdict {
    ScoredVerdict::unknown_because(Reason::Unreadable, "cut".into())
}

/// The results of a schedule.
#[derive(Debug, Default)]
struct History {
    captured: u64,
    /// Verdicts of each sequence number.
    verdicts: BTreeMap<u64, Vec<ScoredVerdict>>,
    /// Sequence numbers in the order in which they were judged.
    judged: Vec<u64>,
    replaced: u64,
    most_in_memory: usize,
}

/// Plays a schedule, then ends the source and lets the detector finish.
fn play(config: &FramesConfig, steps: &[(u64, Step)]) -> History {
    let mut intake = Intake::new(config);
    let mut history = History::default();
    let (mut now, mut busy, mut lost) = (Duration::ZERO, 0usize, false);
    let mut waiting = 0usize;
    let carry_out = |history: &mut History, actions: Vec<Action<()>>, now: Duration| {
        let mut given = 0;
        for action in actions {
            match action {
                Action::Judge(frame) => {
                    assert!(now - frame.ticket.captured <= config.max_age(), "a stale frame was judged");
                    history.judged.push(frame.ticket.sequence);
                    given += 1;
                }
                Action::Report(outcome) => {
                    assert_eq!(outcome.latency, now - outcome.ticket.captured);
                    history.verdicts.entry(outcome.ticket.sequence).or_default().push(outcome.judged);
                }
                Action::Live | Action::Finish => {}
            }
        }
        given
    };
    for (pause, step) in steps {
        now += Duration::from_millis(*pause);
        let event = match step {
            Step::Frame { readable } => {
                history.captured += 1;
                let part = (config.bind == Binding::Part).then_some(history.captured);
                let ticket =
                    Ticket { sequence: history.captured, part, source: String::new(), captured: now, product: Some(0), view: 0 };
                if *readable { Event::Captured(Frame { ticket, picture: () }) } else { Event::Unjudgeable(ticket, cut()) }
            }
            Step::Ready if !lost => Event::Ready,
            Step::Judged { anomalous } if busy > 0 => Event::Judged(ScoredVerdict::scored(1.0, *anomalous)),
            Step::Token => Event::Token,
            Step::Stop => Event::Stop,
            Step::DetectorLost => Event::DetectorLost,
            _ => continue,
        };
        match event {
            Event::Judged(_) => busy -= 1,
            Event::DetectorLost => (busy, lost) = (0, true),
            _ => {}
        }
        let actions = intake.step(event, now);
        busy += carry_out(&mut history, actions, now);
        assert!(busy <= 2, "one frame for each stage of the detector");
        let held = history.captured - history.verdicts.len() as u64 - intake.replaced();
        waiting = waiting.max(held as usize - busy);
    }
    // At the end the detector judges the frames that are left, unless it is lost.
    let actions = intake.step(Event::Ended, now);
    carry_out(&mut history, actions, now);
    let mut finished = lost;
    while !finished {
        let event = if busy > 0 { Event::Judged(ScoredVerdict::scored(0.0, false)) } else { Event::Ready };
        busy -= usize::from(matches!(event, Event::Judged(_)));
        let actions = intake.step(event, now);
        finished = actions.contains(&Action::Finish);
        busy += carry_out(&mut history, actions, now);
    }
    history.replaced = intake.replaced();
    history.most_in_memory = waiting;
    history
}

proptest! {
    #[test]
    fn every_part_has_exactly_one_outcome(capacity in 1usize..6, steps in steps()) {
        let history = play(&config(Binding::Part, capacity), &steps);
        prop_assert_eq!(history.verdicts.len() as u64, history.captured);
        prop_assert!(history.verdicts.values().all(|verdicts| verdicts.len() == 1), "{:?}", history);
        prop_assert!(history.judged.windows(2).all(|pair| pair[0] < pair[1]), "judged in order");
        prop_assert!(history.most_in_memory <= capacity);
    }

    #[test]
    fn each_free_frame_is_judged_unknown_or_replaced(steps in steps()) {
        let history = play(&config(Binding::Free, 8), &steps);
        prop_assert_eq!(history.verdicts.len() as u64 + history.replaced, history.captured);
        prop_assert!(history.verdicts.values().all(|verdicts| verdicts.len() == 1));
        prop_assert!(history.judged.windows(2).all(|pair| pair[0] < pair[1]), "never an older frame after a newer one");
        prop_assert!(history.most_in_memory <= 1);
    }
}

#[test]
fn a_full_queue_makes_the_next_part_unknown_at_once() {
    let frame = |readable| (1, Step::Frame { readable });
    let history = play(&config(Binding::Part, 2), &[frame(true), frame(true), frame(true), frame(false)]);
    let verdict = |sequence| history.verdicts[&sequence][0].clone();
    assert_eq!(verdict(3), ScoredVerdict::unknown(Reason::QueueOverflow));
    assert_eq!(verdict(4), cut());
    assert_eq!(history.judged, [1, 2]);
}

#[test]
fn at_a_stop_waiting_frames_are_unknown_and_the_frame_in_the_detector_is_judged() {
    let frame = (1, Step::Frame { readable: true });
    let judged = (1, Step::Judged { anomalous: true });
    let history = play(&config(Binding::Part, 4), &[frame, frame, (1, Step::Ready), (1, Step::Stop), judged, frame]);
    let verdict = |sequence| history.verdicts[&sequence][0].clone();
    assert_eq!(verdict(1), ScoredVerdict::scored(1.0, true));
    assert_eq!([verdict(2), verdict(3)], [(); 2].map(|()| ScoredVerdict::unknown(Reason::Stopped)));
}

#[test]
fn every_part_has_an_outcome_when_the_detector_is_lost() {
    let frame = (1, Step::Frame { readable: true });
    let history = play(&config(Binding::Part, 4), &[frame, frame, (1, Step::Ready), (1, Step::DetectorLost), frame]);
    assert!(history.verdicts.values().flatten().all(|judged| *judged == ScoredVerdict::unknown(Reason::DetectorLost)));
    assert_eq!(history.verdicts.len(), 3);
}

#[test]
fn a_frame_that_waited_too_long_is_stale() {
    let frame = (0, Step::Frame { readable: true });
    let history = play(&config(Binding::Part, 4), &[frame, (101, Step::Ready), frame, (100, Step::Ready)]);
    assert_eq!(history.verdicts[&1], [ScoredVerdict::unknown(Reason::Stale)]);
    assert_eq!(history.judged, [2]);
    let history = play(&config(Binding::Free, 1), &[frame, (101, Step::Ready)]);
    assert_eq!(history.verdicts[&1], [ScoredVerdict::unknown(Reason::Stale)]);
}
