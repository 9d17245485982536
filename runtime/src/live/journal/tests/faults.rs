//! Random faults on a disk in memory.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::io::Errno;
use serde_json::Value;

use crate::live::journal::fake::{FakeDisk, Fault};
use crate::live::journal::queue::{JournalCounts, Queue};
use crate::live::journal::reporter::Reporter;
use crate::live::journal::target::Target;
use crate::live::journal::writer::{Next, Writer};
use crate::live::journal::{Destination, QueueLimits, Rotation};

const PATH: &str = "lines.jsonl";
const ROOMY: usize = 1 << 30;

/// A writer without its thread: the test says when it steps and what time it is.
struct Case {
    disk: FakeDisk,
    queue: Arc<Queue>,
    writer: Writer<FakeDisk>,
    reopen: Arc<AtomicBool>,
    rotation: Rotation,
    now: Instant,
    given: u64,
}

impl Case {
    fn new(max_bytes: u64, files: u32) -> Case {
        let disk = FakeDisk::default();
        disk.state().capacity = ROOMY;
        let rotation = Rotation { max_bytes, files: NonZeroU32::new(files).unwrap() };
        let target = Target::new(disk.clone(), Destination::Path(PATH.into()), rotation);
        let queue = Arc::new(Queue::new(QueueLimits { lines: 8, bytes: 300 }));
        let (reopen, now) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let reporter = Reporter::new("test", PATH.into());
        let writer = Writer::new(Arc::clone(&queue), target, reporter, Arc::clone(&reopen), Ok(()), now);
        Case { disk, queue, writer, reopen, rotation, now, given: 0 }
    }

    fn give(&mut self, length: usize) {
        self.queue.push(format!("{{\"n\":{},\"x\":\"{}\"}}\n", self.given, "x".repeat(length)).as_bytes());
        self.given += 1;
    }

    /// Lets the writer work for this time.
    fn work(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            match self.writer.step(self.now) {
                Next::Step => {}
                Next::Pause(pause) => self.now += pause,
                Next::Lines if self.queue.counts().pending > 0 => {}
                Next::Lines => self.now = end,
                Next::End => panic!("the journal was not closed"),
            }
        }
    }

    /// The numbers of all lines, the replaced files first, then from the oldest file to the newest. A torn line at the end of the newest is
    /// left out.
    fn lines(&self) -> Vec<u64> {
        let state = self.disk.state();
        let path = Path::new(PATH);
        let Rotation { max_bytes, files } = self.rotation;
        assert_eq!(state.content(path, files.get() + 1), None, "at most {files} older files");
        let mut all = state.replaced.clone();
        for number in (0..=files.get()).rev() {
            let content = state.content(path, number).unwrap_or_default();
            let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            assert!(number == 0 || whole == content.len(), "only the newest file may be torn");
            let single = content.iter().filter(|byte| **byte == b'\n').count() == 1;
            assert!(whole as u64 <= max_bytes || single, "{whole} bytes");
            all.extend_from_slice(&content[..whole]);
        }
        let text = String::from_utf8(all).unwrap();
        let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
        let numbers: Vec<_> = text.lines().map(number).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice: {numbers:?}");
        numbers
    }

    fn counts(&self) -> JournalCounts {
        let counts = self.queue.counts();
        assert_eq!(counts.written + counts.lost + counts.pending, self.given);
        counts
    }
}

#[derive(Clone, Debug)]
enum Act {
    Give(usize),
    Work(u64),
    Faults(Vec<Fault>),
    Capacity(usize),
    Reopen,
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let errno = prop::sample::select(vec![Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::NOENT, Errno::INTR]);
    let fault = prop_oneof![
        3 => Just(Fault::Nothing),
        2 => (1usize..40).prop_map(Fault::Short),
        2 => errno.clone().prop_map(Fault::Fails),
        1 => (0usize..60, prop::sample::select(vec![Errno::NOSPC, Errno::IO])).prop_map(|(taken, errno)| Fault::FailsAfter(taken, errno)),
    ];
    prop::collection::vec(fault, 0..12)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0usize..60).prop_map(Act::Give),
        4 => (1u64..40_000).prop_map(Act::Work),
        2 => faults().prop_map(Act::Faults),
        1 => (0usize..1500).prop_map(Act::Capacity),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn files_hold_whole_lines_in_order_and_each_line_is_counted(
        (max_bytes, files) in (20u64..400, 1u32..4),
        acts in prop::collection::vec(act(), 0..120),
    ) {
        let mut case = Case::new(max_bytes, files);
        for act in acts {
            match act {
                Act::Give(length) => case.give(length),
                Act::Work(ms) => case.work(Duration::from_millis(ms)),
                Act::Faults(faults) => case.disk.state().faults.extend(faults),
                Act::Capacity(bytes) => case.disk.state().capacity = bytes,
                Act::Reopen => case.reopen.store(true, Ordering::Relaxed),
            }
            // The rest of a failed write that could not be cut off yet may look like a line.
            prop_assert!(case.lines().len() as u64 >= case.counts().written);
        }
        case.disk.state().faults.clear();
        case.disk.state().capacity = ROOMY;
        case.work(Duration::from_secs(60));
        let JournalCounts { written, lost, pending } = case.counts();
        prop_assert_eq!((written, pending), (case.given - lost, 0), "a line that was accepted is written in the end");
        prop_assert_eq!(case.lines().len() as u64, written);
        let newest = case.disk.state().content(Path::new(PATH), 0).unwrap_or_default().to_vec();
        prop_assert!(newest.last().is_none_or(|byte| *byte == b'\n'), "not torn");
    }
}

#[test]
fn a_full_disk_leaves_one_gap_and_writing_goes_on_when_there_is_room_again() {
    let mut case = Case::new(ROOMY as u64, 1);
    case.disk.state().capacity = 100;
    for _ in 0..50 {
        case.give(10);
        case.work(Duration::from_millis(100));
    }
    let full = case.counts();
    assert!(full.written == 4 && full.lost > 20, "{full}");
    case.disk.state().capacity = ROOMY;
    case.work(Duration::from_secs(31));
    case.give(10);
    case.work(Duration::from_secs(1));
    let lines = case.lines();
    let gaps = lines.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
    assert_eq!((gaps, lines.last()), (1, Some(&50)), "{lines:?}");
    assert_eq!(case.counts(), JournalCounts { written: 51 - full.lost, lost: full.lost, pending: 0 });
}

#[test]
fn a_whole_object_that_lacks_its_newline_is_not_written_twice() {
    let mut case = Case::new(ROOMY as u64, 1);
    case.give(0);
    // Status, a write of all but the newline, an error, and no cut.
    let length = b"{\"n\":0,\"x\":\"\"}".len();
    let io = Fault::Fails(Errno::IO);
    case.work(Duration::from_millis(1));
    assert_eq!(case.lines(), [0]);
    case.give(0);
    case.disk.state().faults.extend([Fault::Nothing, Fault::Short(length), io, io]);
    case.work(Duration::from_secs(5));
    assert_eq!(case.lines(), [0, 1]);
}

#[test]
fn a_file_that_cannot_be_renamed_takes_no_more_than_its_limit() {
    let mut case = Case::new(100, 1);
    for _ in 0..30 {
        case.give(10);
        // Status, the search for a free number, and the refused name. Repeated for each attempt.
        let refused = [Fault::Nothing, Fault::Fails(Errno::ACCESS)];
        if case.counts().written == 4 {
            case.disk.state().faults = refused.into();
        }
        case.work(Duration::from_millis(100));
    }
    assert!(case.counts().lost > 10, "{}", case.counts());
    assert_eq!(case.lines().len(), 4);
    case.disk.state().faults.clear();
    case.work(Duration::from_secs(31));
    assert_eq!(case.counts().pending, 0);
    assert!(case.disk.state().content(Path::new(PATH), 1).is_some());
}
