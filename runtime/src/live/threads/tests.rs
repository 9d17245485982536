//! The real threads, with a source and a judge of the test's own.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use detector::picture::Colour;
use image::RgbImage;
use verdict::Reason;

use super::*;
use crate::camera::{Capture, Shot};
use crate::live::clock::Clock;

/// As many frames as it says; every `unreadable`-th is damaged.
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

fn look(_: &Ticket, _: &Picture) {}

fn good(_: &Ticket, (): ()) -> ScoredVerdict {
    ScoredVerdict::scored(0.0, false)
}

fn slow(ticket: &Ticket, (): ()) -> ScoredVerdict {
    thread::sleep(Duration::from_millis(2));
    good(ticket, ())
}

struct Run {
    told: Vec<Outcome>,
    summary: Summary,
    result: Result<(), PipelineError>,
}

fn run(config: &FramesConfig, source: Frames, judge: impl FnMut(&Ticket, ()) -> ScoredVerdict + Send) -> Run {
    run_both(config, source, look, judge)
}

fn run_both(
    config: &FramesConfig,
    source: Frames,
    look: impl FnMut(&Ticket, &Picture) + Send,
    judge: impl FnMut(&Ticket, ()) -> ScoredVerdict + Send,
) -> Run {
    let stop = AtomicBool::new(false);
    let mut told = Vec::new();
    let progress = Progress::new(Clock::start(), 1);
    let (summary, result) = Pipeline::new(config, &progress, &stop).run(vec![source], look, judge, None, |news| {
        if let Notice::Outcome(outcome) = news {
            told.push(outcome.clone());
        }
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
    let Run { told, summary, result } = run(&config(Binding::Part, 16), frames(usize::MAX, 20), |ticket, ()| {
        count += 1;
        assert!(count < 5, "this panic belongs to the test");
        slow(ticket, ())
    });
    assert!(matches!(result, Err(PipelineError::Lost("detector"))), "{result:?}");
    each_part_once(&told, told.len() as u64);
    assert_eq!(summary.good, 4);
    assert!(summary.unknown[&Reason::DetectorLost] >= 1);
}

#[test]
fn a_network_thread_that_dies_leaves_no_part_behind() {
    let mut count = 0;
    let look = |_: &Ticket, _: &Picture| {
        count += 1;
        assert!(count < 5, "this panic belongs to the test");
    };
    let Run { told, summary, result } = run_both(&config(Binding::Part, 16), frames(usize::MAX, 20), look, slow);
    assert!(matches!(result, Err(PipelineError::Lost("detector"))), "{result:?}");
    each_part_once(&told, told.len() as u64);
    assert!(summary.good <= 4 && summary.unknown[&Reason::DetectorLost] >= 1, "{summary}");
}

#[test]
fn the_next_frames_features_are_extracted_while_one_is_scored() {
    let (sender, receiver) = sync_channel(2);
    let look = move |ticket: &Ticket, _: &Picture| sender.send(ticket.sequence).unwrap();
    let judge = move |ticket: &Ticket, ()| {
        let wanted = ticket.sequence + 1;
        let seen = || receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        while wanted <= 5 && seen() < wanted {}
        good(ticket, ())
    };
    let Run { told, result, .. } = run_both(&config(Binding::Part, 16), frames(5, 0), look, judge);
    result.unwrap();
    each_part_once(&told, 5);
    assert!(told.windows(2).all(|pair| pair[0].ticket.sequence < pair[1].ticket.sequence));
}

#[test]
fn stopping_ends_an_endless_source() {
    let stop = AtomicBool::new(false);
    let mut told = Vec::new();
    let progress = Progress::new(Clock::start(), 1);
    let pipeline = Pipeline::new(&config(Binding::Part, 4), &progress, &stop);
    let (summary, result) = pipeline.run(vec![frames(usize::MAX, 100)], look, slow, None, |news| {
        if let Notice::Outcome(outcome) = news {
            told.push(outcome.clone());
            stop.store(told.len() > 20, Ordering::Relaxed);
        }
    });
    result.unwrap();
    each_part_once(&told, told.len() as u64);
    assert!(summary.good > 0);
}
