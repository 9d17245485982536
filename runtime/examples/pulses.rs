//! When pulses come, against when they should: the line thread as the service runs it, with recorded outputs, on processors that have
//! more to do than they can. `cargo xtask bench pulses` runs it.
//!
//! A probe that comes before everything else on the line thread's processor tells when that processor did not run at all: of a virtual
//! machine, it is taken away now and then.

use verdict::{Output, Verdict};
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use config::Config;
use config::line::LineSettings;
use apc_runtime::live::clock::Clock;
use apc_runtime::live::progress::{Progress, Worker};
use apc_runtime::live::{Command, LineLink, LineThread, Products, Report, realtime};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use thread_priority::{ThreadSchedulePolicy, thread_schedule_policy};

/// From the trigger to the actuator.
const DELAY: Duration = Duration::from_millis(100);
/// Between two parts.
const SPACING_MS: std::ops::Range<f64> = 15.0..45.0;
/// How often the probe looks, and what is a gap.
const PROBE: Duration = Duration::from_micros(250);
const GAP: Duration = Duration::from_micros(750);
/// Before the line thread and everything else.
const PROBE_PRIORITY: u8 = 90;
/// From the trigger to the verdict.
const VERDICT_MS: std::ops::Range<f64> = 5.0..60.0;

#[derive(Serialize)]
struct Measured {
    parts: usize,
    /// Of those: triggers or verdicts that came too late because the threads that play them had to wait too; they are rejected.
    unknown: usize,
    /// Pulses on another output than the part's, missing ones, surplus ones.
    wrong: usize,
    busy_threads: usize,
    priority: u8,
    /// From the target time to the output's change.
    late: Late,
    /// The same without the time in which the processor did not run.
    late_while_running: Late,
    still: Still,
}

#[derive(Serialize)]
struct Late {
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    most_ms: f64,
    within_1_ms: f64,
    within_5_ms: f64,
}

/// How often, how long in all, and how long at most the processor did not run, for more than [`GAP`].
#[derive(Serialize)]
struct Still {
    times: usize,
    total_ms: f64,
    most_ms: f64,
}

/// Exit code 1 if a part's pulse was wrong or missing, 2 if nothing could be measured.
fn main() -> ExitCode {
    let (code, text) = match run() {
        Ok((text, right)) => (u8::from(!right), text),
        Err(error) => (2, format!("pulses: {error:#}\n")),
    };
    let written = if code == 2 { io::stderr().write_all(text.as_bytes()) } else { io::stdout().write_all(text.as_bytes()) };
    if written.is_ok() { ExitCode::from(code) } else { ExitCode::from(2) }
}

/// What is to be printed, and whether every part got its pulse.
fn run() -> Result<(String, bool)> {
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    let json = arguments.pop_if(|last| last == "--json").is_some();
    let [parts, busy_threads, priority] = &arguments[..] else { bail!("parts, busy threads and priority are needed") };
    let number = |text: &String| text.parse::<usize>().with_context(|| format!("{text:?} is no number"));
    let (parts, busy_threads, priority) = (number(parts)?, number(busy_threads)?, number(priority)?);
    let folder = tempfile::tempdir().context("cannot make a folder for the trigger's socket")?;
    let socket = folder.path().join("trigger");
    let settings = settings(&socket, priority)?;
    let progress = Progress::new(Clock::start(), 1);
    let link = LineLink::new(&settings, 0, &progress)?;
    let line = LineThread::new(&settings, Products::default(), &link)?;
    let (over, realtime) = (AtomicBool::new(false), AtomicBool::new(false));
    let probe = LineSettings { priority: PROBE_PRIORITY, ..settings.clone() };
    let (anomalous, reports, gaps) = thread::scope(|scope| {
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
        let probe = scope.spawn(|| watch(&probe, progress.clock(), &over));
        scope.spawn(|| trigger(&socket, parts, &over));
        let judged = scope.spawn(|| judge(&link, parts, &over));
        let reports = listen(&link, parts);
        over.store(true, Ordering::Relaxed);
        link.finish();
        (judged.join(), reports, probe.join())
    });
    let died = |_| anyhow!("a thread died");
    let (anomalous, gaps) = (anomalous.map_err(died)?, gaps.map_err(died)?);
    // What the system gave, not what was asked for.
    let priority = if realtime.into_inner() { settings.priority } else { 0 };
    let measured = measure(&anomalous, &reports, &gaps, busy_threads, priority)?;
    let text = if json { serde_json::to_string_pretty(&measured)? + "\n" } else { told(&measured) };
    Ok((text, measured.wrong == 0 && measured.parts == parts))
}

fn told(measured: &Measured) -> String {
    let Measured { parts, unknown, wrong, busy_threads, priority, late, late_while_running, still } = measured;
    let mut text = format!(
        "{parts} parts, {unknown} unknown, {wrong} wrong; {busy_threads} busy threads, priority {priority}\n\
         the processor did not run: {} times, {:.1} ms in all, {:.1} ms at most\n\
         | after the target time, ms | p50 | p99 | p99.9 | most | within 1 ms | within 5 ms |\n|---|---|---|---|---|---|---|\n",
        still.times, still.total_ms, still.most_ms
    );
    for (name, late) in [("as it was", late), ("while the processor ran", late_while_running)] {
        let Late { p50_ms, p99_ms, p999_ms, most_ms, within_1_ms, within_5_ms } = late;
        text += &format!(
            "| {name} | {p50_ms:.3} | {p99_ms:.3} | {p999_ms:.3} | {most_ms:.3} | {:.2} % | {:.2} % |\n",
            within_1_ms * 100.0,
            within_5_ms * 100.0
        );
    }
    text
}

fn settings(socket: &Path, priority: usize) -> Result<LineSettings> {
    let cpu = thread::available_parallelism().map_or(0, |number| number.get() - 1);
    let text = format!(
        "[detector]\nbundle = \"none.apc\"\n[source.replay]\nimages = \"none\"\n\
         [line]\ndelay_ms = {}\nspacing_ms = 6.0\nparts = 256\nsimulated = true\npriority = {priority}\n\
         tolerance_ms = 50.0\ncpu = {cpu}\n\
         [line.trigger]\nmode = \"software\"\nsocket = {socket:?}\nwindow_ms = 3.0\n\
         [line.outputs.good]\nline = \"GOOD\"\nwidth_ms = 5.0\n[line.outputs.reject]\nline = \"REJECT\"\nwidth_ms = 5.0\n",
        DELAY.as_secs_f64() * 1e3,
    );
    let config = Config::parse(Path::new("pulses"), &text)?;
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

/// When the processor did not run.
fn watch(probe: &LineSettings, clock: Clock, over: &AtomicBool) -> Vec<(Duration, Duration)> {
    realtime::prepare(probe);
    let (mut gaps, mut before) = (Vec::new(), clock.now());
    while !over.load(Ordering::Relaxed) {
        thread::sleep(PROBE);
        let now = clock.now();
        if now - before > GAP {
            gaps.push((before, now));
        }
        before = now;
    }
    gaps
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
        let found = if is_anomalous { Verdict::Anomalous } else { Verdict::Good };
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
            settled += usize::from(matches!(report, Report::Decision(_)));
            last = link.clock().now();
            reports.push(report);
        }
    }
    reports
}

/// Holds every pulse against the part that it is for: within one step of the line, outputs come before the settled part.
fn measure(
    anomalous: &[bool],
    reports: &[Report],
    gaps: &[(Duration, Duration)],
    busy_threads: usize,
    priority: u8,
) -> Result<Measured> {
    let (mut rises, mut late, mut running) = (Vec::new(), Vec::new(), Vec::new());
    let (mut parts, mut unknown, mut wrong) = (0, 0, 0);
    for report in reports {
        match report {
            Report::Output { output: output @ (Output::Good | Output::Reject), active: true, at } => rises.push((*output, *at)),
            Report::Decision(settled) => {
                let told = anomalous.get(parts).map(|yes| if *yes { Verdict::Anomalous } else { Verdict::Good });
                let is_unknown = matches!(settled.found, Verdict::Unknown(_));
                let expected = if settled.found == Verdict::Good { Output::Good } else { Output::Reject };
                match rises.as_slice() {
                    [(output, at)] if *output == expected && (is_unknown || told == Some(settled.found)) => {
                        let target = settled.at + DELAY;
                        let after = at.saturating_sub(target);
                        late.push(after);
                        running.push(after.saturating_sub(still(gaps, target, *at)));
                    }
                    _ => wrong += 1,
                }
                unknown += usize::from(is_unknown);
                parts += 1;
                rises.clear();
            }
            _ => {}
        }
    }
    ensure!(!late.is_empty(), "no part got its pulse");
    wrong += rises.len();
    let lengths = || gaps.iter().map(|(from, to)| milliseconds(*to - *from));
    Ok(Measured {
        parts,
        unknown,
        wrong,
        busy_threads,
        priority,
        late: Late::of(&late, parts),
        late_while_running: Late::of(&running, parts),
        still: Still { times: gaps.len(), total_ms: lengths().sum(), most_ms: lengths().fold(0.0, f64::max) },
    })
}

impl Late {
    /// Parts without a pulse of their own are within no time.
    fn of(late: &[Duration], parts: usize) -> Late {
        let mut late: Vec<f64> = late.iter().copied().map(milliseconds).collect();
        late.sort_by(f64::total_cmp);
        let at = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize];
        let within = |limit: f64| late.partition_point(|ms| *ms <= limit) as f64 / parts as f64;
        Late {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            most_ms: at(1.0),
            within_1_ms: within(1.0),
            within_5_ms: within(5.0),
        }
    }
}

/// How much of the gaps, in order of time, lies between two times.
fn still(gaps: &[(Duration, Duration)], from: Duration, to: Duration) -> Duration {
    let first = gaps.partition_point(|gap| gap.1 <= from);
    gaps[first..].iter().take_while(|gap| gap.0 < to).map(|gap| gap.1.min(to) - gap.0.max(from)).sum()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
