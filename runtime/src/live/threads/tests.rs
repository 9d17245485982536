//! The real threads, with a source and a detector of the test's own.

use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use config::{Binding, FramesConfig};
use detector::picture::Colour;
use image::RgbImage;
use verdict::{Outcome, Reason};

use super::*;
use crate::camera::{Capture, Shot};
use crate::live::clock::Clock;
use crate::live::progress::Progress;

/// Gives `left` frames, then ends or fails; every `unreadable`-th frame is damaged.
struct Frames {
    left: usize,
    pause: Duration,
    unreadable: usize,
    fails: bool,
}

impl Source for Frames {
    fn next(&mut self, _: Duration, _: Option<BorrowedFd<'_>>) -> detector::Result<Capture> {
        thread::sleep(self.pause);
        if self.left == 0 {
            return if self.fails { Err(detector::Error::invalid("unplugged")) } else { Ok(Capture::End) };
        }
        self.left -= 1;
        let picture = match (self.left + 1) % self.unreadable {
            0 => Err("cut".into()),
            _ => Ok(Picture { pixels: RgbImage::new(1, 1), colour: Colour::Grey }),
        };
        Ok(Capture::Shot(Shot { source: "test".into(), at: Instant::now(), product: Some(0), picture }))
    }

    fn set_product(&mut self, _: usize) {}
}

fn frames(left: usize, pause_us: u64) -> Frames {
    Frames { left, pause: Duration::from_micros(pause_us), unreadable: usize::MAX, fails: false }
}

fn config(bind: Binding, queue: usize) -> FramesConfig {
    FramesConfig { bind, queue, max_age_ms: 60_000 }
}

fn extract(_: &Ticket, _: &Picture) {}

fn good(_: &Ticket, (): ()) -> ScoredVerdict {
    ScoredVerdict::scored(0.0, false)
}

fn slow(ticket: &Ticket, (): ()) -> ScoredVerdict {
    thread::sleep(Duration::from_millis(2));
    good(ticket, ())
}

struct Run {
    outcomes: Vec<Outcome>,
    summary: Summary,
    result: Result<(), PipelineError>,
}

fn run(config: &FramesConfig, source: Frames, score: impl FnMut(&Ticket, ()) -> ScoredVerdict + Send) -> Run {
    run_stages(config, source, extract, score)
}

fn run_stages(
    config: &FramesConfig,
    source: Frames,
    extract: impl FnMut(&Ticket, &Picture) + Send,
    score: impl FnMut(&Ticket, ()) -> ScoredVerdict + Send,
) -> Run {
    let stop = AtomicBool::new(false);
    let mut outcomes = Vec::new();
    let progress = Progress::new(Clock::start(), 1);
    let (summary, result) = Pipeline::new(config, &progress, &stop).run(vec![source], extract, score, None, |notice| {
        if let Notice::Outcome(outcome) = notice {
            outcomes.push(outcome.clone());
        }
    });
    Run { outcomes, summary, result }
}

fn assert_one_outcome_a_part(outcomes: &[Outcome], count: u64) {
    let mut parts: Vec<_> = outcomes.iter().map(|outcome| outcome.ticket.part.unwrap()).collect();
    parts.sort_unstable();
    assert_eq!(parts, (1..=count).collect::<Vec<_>>());
}

#[test]
fn every_part_has_an_outcome_when_the_queue_overflows() {
    let Run { outcomes, summary, result } = run(&config(Binding::Part, 2), frames(100, 50), slow);
    result.unwrap();
    assert_one_outcome_a_part(&outcomes, 100);
    assert!(summary.unknown[&Reason::QueueOverflow] > 10, "{summary}");
    assert!(summary.good > 5, "{summary}");
}

#[test]
fn free_frames_are_replaced_and_the_last_is_judged() {
    let Run { outcomes, summary, result } = run(&config(Binding::Free, 2), frames(100, 50), slow);
    result.unwrap();
    assert!(outcomes.windows(2).all(|pair| pair[0].ticket.sequence < pair[1].ticket.sequence));
    assert!(outcomes.iter().all(|outcome| outcome.ticket.part.is_none()));
    assert_eq!(outcomes.last().unwrap().ticket.sequence, 100);
    assert_eq!(summary.replaced + outcomes.len() as u64, 100);
    assert!(summary.replaced > 10, "{summary}");
}

#[test]
fn every_part_has_an_outcome_when_frames_are_damaged_and_the_source_fails() {
    let source = Frames { unreadable: 3, fails: true, ..frames(9, 0) };
    let Run { outcomes, summary, result } = run(&config(Binding::Part, 16), source, good);
    assert!(matches!(result, Err(PipelineError::Source(_))), "{result:?}");
    assert_one_outcome_a_part(&outcomes, 9);
    assert_eq!((summary.good, summary.unknown[&Reason::Unreadable]), (6, 3));
}

#[test]
fn every_part_has_an_outcome_when_the_detector_thread_dies() {
    let mut count = 0;
    let Run { outcomes, summary, result } = run(&config(Binding::Part, 16), frames(usize::MAX, 20), |ticket, ()| {
        count += 1;
        assert!(count < 5, "the test wants this panic");
        slow(ticket, ())
    });
    assert!(matches!(result, Err(PipelineError::Lost("detector"))), "{result:?}");
    assert_one_outcome_a_part(&outcomes, outcomes.len() as u64);
    assert_eq!(summary.good, 4);
    assert!(summary.unknown[&Reason::DetectorLost] >= 1);
}

#[test]
fn every_part_has_an_outcome_when_the_network_thread_dies() {
    let mut count = 0;
    let extract = |_: &Ticket, _: &Picture| {
        count += 1;
        assert!(count < 5, "the test wants this panic");
    };
    let Run { outcomes, summary, result } = run_stages(&config(Binding::Part, 16), frames(usize::MAX, 20), extract, slow);
    assert!(matches!(result, Err(PipelineError::Lost("detector"))), "{result:?}");
    assert_one_outcome_a_part(&outcomes, outcomes.len() as u64);
    assert!(summary.good <= 4 && summary.unknown[&Reason::DetectorLost] >= 1, "{summary}");
}

#[test]
fn the_next_frames_features_are_extracted_while_one_is_scored() {
    let (sender, receiver) = sync_channel(2);
    let extract = move |ticket: &Ticket, _: &Picture| sender.send(ticket.sequence).unwrap();
    let score = move |ticket: &Ticket, ()| {
        let wanted = ticket.sequence + 1;
        let extracted = || receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        while wanted <= 5 && extracted() < wanted {}
        good(ticket, ())
    };
    let Run { outcomes, result, .. } = run_stages(&config(Binding::Part, 16), frames(5, 0), extract, score);
    result.unwrap();
    assert_one_outcome_a_part(&outcomes, 5);
    assert!(outcomes.windows(2).all(|pair| pair[0].ticket.sequence < pair[1].ticket.sequence));
}

#[test]
fn stopping_ends_an_endless_source() {
    let stop = AtomicBool::new(false);
    let mut outcomes = Vec::new();
    let progress = Progress::new(Clock::start(), 1);
    let pipeline = Pipeline::new(&config(Binding::Part, 4), &progress, &stop);
    let (summary, result) = pipeline.run(vec![frames(usize::MAX, 100)], extract, slow, None, |notice| {
        if let Notice::Outcome(outcome) = notice {
            outcomes.push(outcome.clone());
            stop.store(outcomes.len() > 20, Ordering::Relaxed);
        }
    });
    result.unwrap();
    assert_one_outcome_a_part(&outcomes, outcomes.len() as u64);
    assert!(summary.good > 0);
}
