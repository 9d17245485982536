//! When pulses come, against when they should: the line thread as the service runs it, with recorded outputs, on processors that have
//! more to do than they can. `cargo xtask bench pulses` runs it.

use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apc_runtime::clock::Clock;
use apc_runtime::config::LineConfig;
use apc_runtime::config::line::{LineSettings, Output};
use apc_runtime::line::{Command, Disposition, Found, LineLink, LineThread, Recipes, Report, realtime};
use apc_runtime::progress::{Progress, Worker};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use thread_priority::{ThreadSchedulePolicy, thread_schedule_policy};

/// From the trigger to the actuator.
const DELAY: Duration = Duration::from_millis(100);
/// Between two parts: 25 to 75 ms.
const SPACING_MS: std::ops::Range<f64> = 25.0..75.0;
/// From the trigger to the verdict.
const VERDICT_MS: std::ops::Range<f64> = 5.0..60.0;

#[derive(Serialize)]
struct Measured {
    parts: usize,
    /// Pulses on another output than the part's, missing ones, surplus ones.
    wrong: usize,
    busy_threads: usize,
    priority: u8,
    /// Milliseconds from the target time to the output's change.
    late_ms: Late,
    within_1_ms: f64,
    within_5_ms: f64,
}

#[derive(Serialize)]
struct Late {
    p50: f64,
    p99: f64,
    p999: f64,
    most: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().with_context(|| text));
    let mut next = || arguments.next().context("parts, busy threads and priority are needed")?;
    let (parts, busy_threads, priority) = (next()?, next()?, next()?);
    let folder = tempfile::tempdir().context("cannot make a folder for the trigger's socket")?;
    let socket = folder.path().join("trigger");
    let settings = settings(&socket, priority)?;
    let progress = Progress::new(Clock::start(), 1);
    let link = LineLink::new(&settings, 0, &progress)?;
    let line = LineThread::new(&settings, Recipes::default(), &link)?;
    let (over, realtime) = (AtomicBool::new(false), AtomicBool::new(false));
    let (anomalous, reports) = thread::scope(|scope| {
        for _ in 0..busy_threads {
            scope.spawn(|| be_busy(&over));
        }
        let (settings, realtime) = (&settings, &realtime);
        scope.spawn(move || {
            realtime::prepare(settings);
            let policy = thread_schedule_policy();
            realtime.store(matches!(policy, Ok(ThreadSchedulePolicy::Realtime(_))), Ordering::Relaxed);
            line.run();
        });
        scope.spawn(|| trigger(&socket, parts, &over));
        let judged = scope.spawn(|| judge(&link, parts, &over));
        let reports = listen(&link, parts);
        over.store(true, Ordering::Relaxed);
        link.finish();
        (judged.join(), reports)
    });
    let anomalous = anomalous.map_err(|_| anyhow::anyhow!("the judging thread died"))?;
    // What the system gave, not what was asked for.
    let priority = if realtime.into_inner() { settings.priority } else { 0 };
    let measured = measure(&anomalous, &reports, busy_threads, priority)?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&measured)?).context("cannot print the result")
}

fn settings(socket: &Path, priority: usize) -> Result<LineSettings> {
    let text = format!(
        "[detector]\nbundle = \"none.apc\"\n[source.replay]\nimages = \"none\"\n\
         [line]\ndelay_ms = {}\nspacing_ms = 6.0\nparts = 256\nsimulated = true\npriority = {priority}\n\
         [line.trigger]\nmode = \"software\"\nsocket = {socket:?}\n\
         [line.outputs.good]\nline = \"GOOD\"\nwidth_ms = 5.0\n[line.outputs.reject]\nline = \"REJECT\"\nwidth_ms = 5.0\n",
        DELAY.as_secs_f64() * 1e3,
    );
    let config = LineConfig::parse(Path::new("pulses"), &text)?;
    config.line.context("the configuration has no line")
}

/// What a neighbour on the camera does: arithmetic and memory.
fn be_busy(over: &AtomicBool) {
    let mut memory = vec![1_u64; 1 << 20];
    while !over.load(Ordering::Relaxed) {
        for number in &mut memory {
            *number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        black_box(&mut memory);
    }
}

fn wait(random: &mut StdRng, range: std::ops::Range<f64>) {
    thread::sleep(Duration::from_secs_f64(random.random_range(range) / 1e3));
}

fn trigger(socket: &Path, parts: usize, over: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(1);
    let sender = UnixDatagram::unbound().expect("a socket");
    for _ in 0..parts {
        wait(&mut random, SPACING_MS);
        if over.load(Ordering::Relaxed) || sender.send_to(&[0], socket).is_err() {
            break;
        }
    }
}

/// The detector: an answer for each part, in order, some time after its trigger. Returns which parts were anomalous.
fn judge(link: &LineLink<'_>, parts: usize, over: &AtomicBool) -> Vec<bool> {
    let mut random = StdRng::seed_from_u64(2);
    let mut anomalous = Vec::with_capacity(parts);
    while anomalous.len() < parts && !over.load(Ordering::Relaxed) {
        link.progress.beat(Worker::Detector);
        link.progress.beat(Worker::Capture(0));
        let Some(seen) = link.next_part(0) else {
            thread::sleep(Duration::from_micros(500));
            continue;
        };
        let ready = seen.at + Duration::from_secs_f64(random.random_range(VERDICT_MS) / 1e3);
        thread::sleep(ready.saturating_sub(link.clock().now()));
        let is_anomalous = random.random_bool(0.5);
        anomalous.push(is_anomalous);
        let found = if is_anomalous { Found::Anomalous } else { Found::Good };
        link.send(Command::Judged { part: seen.part, view: 0, found });
    }
    anomalous
}

/// Everything that the line tells until the last part is settled.
fn listen(link: &LineLink<'_>, parts: usize) -> Vec<Report> {
    let (mut reports, mut settled) = (Vec::new(), 0);
    let mut last = link.clock().now();
    while settled < parts && link.clock().now() < last + Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
        while let Some(report) = link.next_report() {
            settled += usize::from(matches!(report, Report::Settled(_)));
            last = link.clock().now();
            reports.push(report);
        }
    }
    reports
}

/// Holds every pulse against the part that it is for: within one step of the line, outputs come before the settled part.
fn measure(anomalous: &[bool], reports: &[Report], busy_threads: usize, priority: u8) -> Result<Measured> {
    let (mut rises, mut late, mut wrong) = (Vec::new(), Vec::new(), 0);
    for report in reports {
        match report {
            Report::Output { output: output @ (Output::Good | Output::Reject), active: true, at } => rises.push((*output, *at)),
            Report::Settled(settled) => {
                let is_anomalous = anomalous.get(late.len() + wrong).copied();
                let expected = is_anomalous.map(|yes| if yes { Output::Reject } else { Output::Good });
                let told = match settled.disposition {
                    Disposition::Reject => Some(Output::Reject),
                    Disposition::Pass => Some(Output::Good),
                    _ => None,
                };
                match (rises.as_slice(), expected) {
                    ([(output, at)], Some(expected)) if *output == expected && told == Some(expected) => {
                        late.push(at.saturating_sub(settled.at + DELAY).as_secs_f64() * 1e3);
                    }
                    _ => wrong += 1,
                }
                rises.clear();
            }
            _ => {}
        }
    }
    ensure!(!late.is_empty(), "no part got its pulse");
    let parts = late.len() + wrong;
    wrong += rises.len();
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize];
    let within = |limit: f64| late.iter().filter(|&&ms| ms <= limit).count() as f64 / parts as f64;
    Ok(Measured {
        parts,
        wrong,
        busy_threads,
        priority,
        late_ms: Late { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0) },
        within_1_ms: within(1.0),
        within_5_ms: within(5.0),
    })
}
