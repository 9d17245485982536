//! Log messages about lines that cannot be written.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::Level;

use super::queue::Losses;

/// Least time between two errors.
const QUIET: Duration = Duration::from_secs(60);

/// Decides on log messages: an error when writing fails or lines are lost, at most one error a minute, and an info when all lines are
/// written again.
#[derive(Debug)]
pub(super) struct Reporter {
    noun: &'static str,
    destination: String,
    /// Lines that were lost before the present outage.
    lost_before: u64,
    outage: Option<Outage>,
    quiet_until: Option<Instant>,
}

/// A time in which lines cannot be written or are lost.
#[derive(Debug, Default)]
struct Outage {
    /// The times of the first and the last loss.
    between: Option<(SystemTime, SystemTime)>,
    /// Trouble and number of lost lines of the last message.
    reported: Option<(Option<String>, u64)>,
}

impl Reporter {
    pub(super) fn new(noun: &'static str, destination: String) -> Reporter {
        Reporter { noun, destination, lost_before: 0, outage: None, quiet_until: None }
    }

    /// The message when the reader of standard output is gone.
    pub(super) fn reader_is_gone(&self) -> String {
        let (noun, to) = (self.noun, &self.destination);
        format!("the reader of {to} is gone: {noun} lines are lost and counted from now on")
    }

    /// The message that is due now; call it often. `trouble` is why the last attempt to write failed, `idle` means that no line waits.
    pub(super) fn message(&mut self, now: Instant, trouble: Option<&str>, losses: Losses, idle: bool) -> Option<(Level, String)> {
        let lost = losses.total - self.lost_before;
        if trouble.is_none() && lost == 0 && self.outage.is_none() {
            return None;
        }
        let (noun, to) = (self.noun, &self.destination);
        let outage = self.outage.get_or_insert_default();
        outage.between = match (outage.between, losses.between) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (before, new) => before.or(new),
        };
        let (reported, reported_lost) = outage.reported.as_ref().map_or((None, 0), |(trouble, lost)| (trouble.as_deref(), *lost));
        let has_news = lost > reported_lost || trouble.is_some_and(|trouble| reported != Some(trouble));
        if trouble.is_none() && idle && !has_news {
            let (between, was_reported) = (outage.between, outage.reported.is_some());
            (self.lost_before, self.outage) = (losses.total, None);
            let losses = match between {
                None => "no line was lost".to_owned(),
                Some((first, last)) => {
                    let [first, last] = [first, last].map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
                    format!("{lost} were lost between {first:.3} and {last:.3} (seconds since 1970)")
                }
            };
            return was_reported.then(|| (Level::Info, format!("{noun} lines are written to {to} again; {losses}")));
        }
        if !has_news || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let text = match trouble {
            Some(trouble) if lost == 0 => format!(
                "cannot write {noun} lines to {to}: {trouble}. The production line goes on; lines wait, then are lost and counted; \
                 writing is tried again"
            ),
            Some(trouble) => format!("{lost} {noun} lines lost so far: cannot write to {to}: {trouble}"),
            None => format!("{lost} {noun} lines lost so far: {to} did not take them in time"),
        };
        outage.reported = Some((trouble.map(str::to_owned), lost));
        self.quiet_until = Some(now + QUIET);
        Some((Level::Error, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        reporter: Reporter,
        start: Instant,
    }

    impl Case {
        fn new() -> Case {
            Case { reporter: Reporter::new("verdict", "v.jsonl".into()), start: Instant::now() }
        }

        /// `new` is when lines were lost since the last call, in seconds since 1970.
        fn message(
            &mut self,
            s: u64,
            trouble: Option<&str>,
            total: u64,
            new: Option<u64>,
            idle: bool,
        ) -> Option<(Level, String)> {
            let between = new.map(|at| (UNIX_EPOCH + Duration::from_secs(at), UNIX_EPOCH + Duration::from_secs(at)));
            self.reporter.message(self.start + Duration::from_secs(s), trouble, Losses { total, between }, idle)
        }
    }

    fn error(message: Option<(Level, String)>, words: &str) {
        let (level, text) = message.expect("a message");
        assert!(level == Level::Error && text.contains(words), "{text}");
    }

    fn info(message: Option<(Level, String)>, words: &str) {
        let (level, text) = message.expect("a message");
        assert!(level == Level::Info && text.contains(words), "{text}");
    }

    #[test]
    fn an_outage_is_reported_once_a_minute_and_its_end_once() {
        let mut case = Case::new();
        assert_eq!(case.message(0, None, 0, None, true), None);
        error(case.message(1, Some("full"), 0, None, false), "cannot write verdict lines to v.jsonl: full");
        assert_eq!(case.message(2, Some("full"), 1, Some(100), false), None);
        assert_eq!(case.message(60, Some("full"), 5, Some(120), false), None);
        error(case.message(61, Some("full"), 9, Some(130), false), "9 verdict lines lost so far");
        assert_eq!(case.message(200, Some("full"), 9, None, false), None, "nothing new");
        assert_eq!(case.message(201, None, 9, None, false), None, "lines still wait");
        info(case.message(202, None, 9, None, true), "9 were lost between 100.000 and 130.000");
        assert_eq!(case.message(203, None, 9, None, true), None);
        error(case.message(300, Some("full"), 9, None, false), "cannot write");
        info(case.message(301, None, 9, None, true), "no line was lost");
    }

    #[test]
    fn an_outage_that_comes_and_goes_does_not_flood_the_log_and_every_loss_is_reported() {
        let mut case = Case::new();
        let mut messages = 0;
        let mut lost = 0;
        for s in 0..600 {
            let bad = s % 2 == 0;
            lost += u64::from(bad);
            messages += usize::from(case.message(s, bad.then_some("full"), lost, bad.then_some(s), !bad).is_some());
        }
        assert!((10..=20).contains(&messages), "{messages}");
        let last: Vec<_> = (600..800).filter_map(|s| case.message(s, None, lost, None, true)).collect();
        assert!(last.iter().any(|(level, _)| *level == Level::Info), "{last:?}");
        assert_eq!(case.reporter.lost_before, lost);
    }

    #[test]
    fn a_slow_reader_is_reported_without_an_error_of_the_system() {
        let mut case = Case::new();
        error(case.message(0, None, 1, Some(7), false), "1 verdict lines lost so far: v.jsonl did not take them in time");
        assert_eq!(case.message(1, None, 20, Some(9), false), None);
        error(case.message(60, None, 20, None, true), "20 verdict lines");
        info(case.message(61, None, 20, None, true), "20 were lost between 7.000 and 9.000");
    }
}
