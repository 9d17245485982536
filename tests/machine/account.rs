//! Holds what the observer saw against what the service said, part by part. Pure: times are seconds since boot.

use serde::Deserialize;

use crate::observer::Change;

/// A verdict's time is told by the service on another clock: it may differ by so much.
const SAME: f64 = 0.02;
/// Scores of the same picture differ by no more than this share.
const SAME_SCORE: f32 = 1e-4;
/// A pulse may be shorter or longer by so much, beside what the observer cannot see.
const WIDTH_TOLERANCE: f64 = 0.005;

/// A part that passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What the camera saw; nothing when there was no camera.
    pub picture: Option<usize>,
    /// Before and after the trigger's edge.
    pub between: (f64, f64),
}

/// A line of the service's verdict file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the service's words")]
pub struct Verdict {
    pub part: u64,
    pub verdict: String,
    pub score: Option<f32>,
    pub reason: Option<String>,
    pub disposition: Option<String>,
    pub latency_ms: f64,
    pub captured: f64,
}

/// What a picture must come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// What `apc-runtime score` says of the captured frame.
    pub score: f32,
    /// The same.
    pub anomalous: bool,
}

/// A pulse of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pulse {
    /// `true` is `good`, `false` is `reject`.
    pub good: bool,
    /// The rise lies between these.
    pub rise: (f64, f64),
    /// How long it was at least and at most; nothing when it has not ended.
    pub width: Option<(f64, f64)>,
}

/// From the trigger to the actuator.
#[derive(Clone, Copy, Debug)]
pub enum Delay<'a> {
    /// Seconds.
    Time(f64),
    /// So many pulses of the encoder, which came between these times.
    Pulses(usize, &'a [(f64, f64)]),
}

impl Delay<'_> {
    /// When the part of a trigger is at the actuator: between these times. Nothing when the belt has not moved so far.
    fn due(self, trigger: (f64, f64)) -> Option<(f64, f64)> {
        match self {
            Delay::Time(delay) => Some((trigger.0 + delay, trigger.1 + delay)),
            Delay::Pulses(number, pulses) => {
                let certain = pulses.iter().filter(|pulse| pulse.1 <= trigger.0).count();
                let possible = pulses.iter().filter(|pulse| pulse.0 <= trigger.1).count();
                Some((pulses.get(certain + number - 1)?.0, pulses.get(possible + number - 1)?.1))
            }
        }
    }
}

/// How the line is set.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the configuration's words, in seconds")]
pub struct Line<'a> {
    pub delay: Delay<'a>,
    pub width: f64,
    pub tolerance: f64,
    /// When the service was killed: a pulse of that moment may be short.
    pub killed: f64,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub struct Account {
    /// Whatever is not as it must be.
    pub problems: Vec<String>,
    /// Parts that passed, were rejected, were unknown (and rejected), had no verdict.
    pub good: usize,
    /// See above.
    pub anomalous: usize,
    /// See above.
    pub unknown: usize,
    /// See above.
    pub lost: usize,
    /// Parts at which the line stopped instead of a pulse: the fail-safe where it woke too late.
    pub stopped: usize,
    /// Least lateness of each pulse that is certain from outside, seconds.
    pub late: Vec<f64>,
}

/// The pulses among an output's changes.
pub fn pulses(changes: &[Change], output: usize, good: bool) -> Vec<Pulse> {
    let mut found: Vec<Pulse> = Vec::new();
    for change in changes.iter().filter(|change| change.output == output) {
        let (from, to) = change.between;
        match (change.active, found.last_mut()) {
            (true, _) => found.push(Pulse { good, rise: change.between, width: None }),
            (false, Some(pulse)) => pulse.width = Some((from - pulse.rise.1, to - pulse.rise.0)),
            (false, None) => {}
        }
    }
    found
}

/// Accounts for every part, verdict and pulse.
pub fn account(parts: &[Part], verdicts: &[Verdict], pulses: &[Pulse], expected: &[Expected], line: Line<'_>) -> Account {
    let mut account = Account::default();
    let mut free: Vec<Pulse> = pulses.to_vec();
    let mut unclaimed: Vec<&Verdict> = verdicts.iter().collect();
    for (index, part) in parts.iter().enumerate() {
        let (first, last) = (part.between.0 - SAME, part.between.1 + SAME);
        let (mine, others) = unclaimed.into_iter().partition(|verdict| (first..=last).contains(&verdict.captured));
        unclaimed = others;
        let due = line.delay.due(part.between).unwrap_or((f64::INFINITY, f64::INFINITY));
        let is_mine = |pulse: &Pulse| pulse.rise.1 >= due.0 && pulse.rise.0 <= due.1 + line.tolerance;
        let (hits, rest): (Vec<Pulse>, _) = free.into_iter().partition(is_mine);
        free = rest;
        let right = account.part(index, part, &mine, &hits, expected, line);
        account.late.extend(right.map(|pulse| pulse.rise.0 - due.1));
    }
    let stray = |pulse: &Pulse| format!("a {} pulse at {:.4} s belongs to no part", name(pulse.good), pulse.rise.1);
    account.problems.extend(free.iter().map(stray));
    account.problems.extend(unclaimed.iter().map(|verdict| format!("no part of ours: {verdict:?}")));
    account
}

impl Account {
    /// Takes a part in; gives its pulse, if it is the right one.
    fn part<'a>(
        &mut self,
        index: usize,
        part: &Part,
        verdicts: &[&Verdict],
        pulses: &'a [Pulse],
        expected: &[Expected],
        line: Line<'_>,
    ) -> Option<&'a Pulse> {
        let expected = part.picture.map(|picture| &expected[picture]);
        let mut wrong = Vec::new();
        let good = match verdicts {
            [] => {
                self.lost += 1;
                None
            }
            [verdict] => {
                match (verdict.score, expected) {
                    (Some(score), Some(expected))
                        if verdict.verdict != word(expected.anomalous) || !same(score, expected.score) =>
                    {
                        wrong.push(format!("judged {} with score {score}, but {expected:?}", verdict.verdict));
                    }
                    (Some(_), None) => wrong.push(format!("a stale verdict, nothing was before the camera: {verdict:?}")),
                    _ => {}
                }
                match verdict.verdict.as_str() {
                    "good" => self.good += 1,
                    "anomalous" => self.anomalous += 1,
                    _ => self.unknown += 1,
                }
                match verdict.disposition.as_deref() {
                    Some("pass") => Some(true),
                    Some("reject") => Some(false),
                    Some("stop") => {
                        self.stopped += 1;
                        None
                    }
                    other => {
                        wrong.push(format!("the line says {other:?}"));
                        None
                    }
                }
            }
            _ => {
                wrong.push(format!("{} verdicts: {verdicts:?}", verdicts.len()));
                None
            }
        };
        let right = match (good, pulses) {
            (Some(good), [pulse]) if pulse.good == good => Some(pulse),
            // A service that was killed may have pulsed before it could tell the verdict.
            (None, [] | [_]) if verdicts.is_empty() => None,
            (None, []) => None,
            (good, pulses) => {
                let found: Vec<_> = pulses.iter().map(|pulse| name(pulse.good)).collect();
                wrong.push(format!("expected {}, found pulses {found:?}", good.map_or("nothing", name)));
                None
            }
        };
        if expected.is_none_or(|expected| expected.anomalous) && pulses.iter().any(|pulse| pulse.good) {
            wrong.push("it must not pass, and got a good pulse".into());
        }
        let cut = |pulse: &&Pulse| verdicts.is_empty() || (pulse.rise.0..pulse.rise.1 + line.width).contains(&line.killed);
        for (least, most) in pulses.iter().filter(|pulse| !cut(pulse)).filter_map(|pulse| pulse.width) {
            if most < line.width - WIDTH_TOLERANCE || least > line.width + WIDTH_TOLERANCE + line.tolerance {
                wrong.push(format!("its pulse lasted {:.1} to {:.1} ms", least * 1e3, most * 1e3));
            }
        }
        let picture = expected.map_or("no picture", |expected| &expected.name);
        let told = |wrong: String| format!("part {index} ({picture}, at {:.3} s): {wrong}", part.between.1);
        self.problems.extend(wrong.into_iter().map(told));
        right
    }
}

fn same(one: f32, other: f32) -> bool {
    (one - other).abs() <= SAME_SCORE * one.abs().max(other.abs())
}

fn word(anomalous: bool) -> &'static str {
    if anomalous { "anomalous" } else { "good" }
}

fn name(good: bool) -> &'static str {
    if good { "good" } else { "reject" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line { delay: Delay::Time(0.5), width: 0.02, tolerance: 0.005, killed: 99.0 };

    fn verdict(at: f64, score: Option<f32>, verdict: &str, disposition: &str) -> Verdict {
        let (verdict, disposition) = (verdict.into(), Some(disposition.into()));
        Verdict { part: 1, verdict, score, reason: None, disposition, latency_ms: 9.0, captured: at }
    }

    fn pulse(good: bool, at: f64) -> Pulse {
        Pulse { good, rise: (at - 0.001, at), width: Some((0.019, 0.021)) }
    }

    fn problems(parts: &[Part], verdicts: &[Verdict], pulses: &[Pulse]) -> String {
        let expected = [("a", 0.5, false), ("b", 2.0, true)];
        let expected = expected.map(|(name, score, anomalous)| Expected { name: name.into(), score, anomalous });
        account(parts, verdicts, pulses, &expected, LINE).problems.join("\n")
    }

    fn part(picture: Option<usize>, at: f64) -> Part {
        Part { picture, between: (at, at + 0.0001) }
    }

    #[test]
    fn a_sound_line_has_no_problems() {
        let parts = [part(Some(0), 1.0), part(Some(1), 2.0), part(None, 3.0), part(Some(0), 4.0)];
        let verdicts = [
            verdict(1.0, Some(0.5), "good", "pass"),
            verdict(2.0, Some(2.0), "anomalous", "reject"),
            verdict(3.001, None, "unknown", "reject"),
        ];
        let pulses = [pulse(true, 1.501), pulse(false, 2.502), pulse(false, 3.501)];
        let expected = ["a", "b"].map(|name| Expected { name: name.into(), score: 0.5, anomalous: false });
        let expected = [expected[0].clone(), Expected { score: 2.0, anomalous: true, ..expected[1].clone() }];
        let account = account(&parts, &verdicts, &pulses, &expected, LINE);
        assert_eq!(account.problems, Vec::<String>::new());
        assert_eq!((account.good, account.anomalous, account.unknown, account.lost), (1, 1, 1, 1));
        assert_eq!(account.late.len(), 3);
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let good = [part(Some(0), 1.0)];
        let said = [verdict(1.0, Some(0.5), "good", "pass")];
        let fired = [pulse(true, 1.501)];
        assert_eq!(problems(&good, &said, &fired), "");
        assert!(problems(&good, &[verdict(1.0, Some(0.6), "good", "pass")], &fired).contains("judged good with score 0.6"));
        assert!(problems(&good, &[said.clone(), said.clone()].concat(), &fired).contains("2 verdicts"));
        assert!(problems(&good, &said, &[]).contains("expected good, found pulses []"));
        assert!(problems(&good, &said, &[pulse(false, 1.501)]).contains("expected good, found pulses [\"reject\"]"));
        assert!(problems(&good, &said, &[pulse(true, 1.6)]).contains("belongs to no part"));
        assert!(problems(&good, &said, &[fired[0], pulse(true, 1.9)]).contains("belongs to no part"));
        assert!(problems(&[], &said, &[]).contains("no part of ours"));
        assert!(problems(&[part(None, 1.0)], &said, &fired).contains("stale"));
        assert!(problems(&[part(Some(1), 1.0)], &[], &fired).contains("must not pass"));
        let stop = [verdict(1.0, Some(0.5), "good", "stop")];
        assert_eq!(problems(&good, &stop, &[]), "");
        assert!(problems(&good, &stop, &fired).contains("expected nothing"));
        let long = Pulse { width: Some((0.034, 0.036)), ..fired[0] };
        assert!(problems(&good, &said, &[long]).contains("lasted 34.0 to 36.0 ms"));
    }

    #[test]
    fn a_part_is_due_when_the_belt_has_moved_so_far() {
        let pulses: Vec<_> = (0..6).map(|number| (f64::from(number), f64::from(number) + 0.1)).collect();
        let due = |from: f64, to: f64| Delay::Pulses(3, &pulses).due((from, to));
        assert_eq!(due(1.5, 1.6), Some((4.0, 4.1)));
        // Whether the trigger came before the pulse at 2 cannot be told.
        assert_eq!(due(1.9, 2.05), Some((4.0, 5.1)));
        assert_eq!(due(3.5, 3.6), None);
        assert_eq!(Delay::Time(0.5).due((1.0, 1.25)), Some((1.5, 1.75)));
    }

    #[test]
    fn changes_become_pulses() {
        let change = |active, at: f64| Change { output: 1, active, between: (at - 0.001, at) };
        let found = pulses(&[change(false, 0.5), change(true, 1.0), change(false, 1.02), change(true, 2.0)], 1, true);
        assert_eq!(found.iter().map(|pulse| pulse.rise.1).collect::<Vec<_>>(), [1.0, 2.0]);
        let (least, most) = found[0].width.unwrap();
        assert!((least - 0.019).abs() < 1e-9 && (most - 0.021).abs() < 1e-9);
        assert_eq!((found[1].width, pulses(&[change(true, 1.0)], 0, true)), (None, vec![]));
    }
}
