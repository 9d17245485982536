//! `cargo xtask bench stages`: the stages of a frame beside the network, compared with a recorded program.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::trial::commit;
use crate::binaries::{Build, Targets};
use crate::workspace::Workspace;
use crate::{files, process, setup};

/// Measure the stages of a frame beside the network, and whether they are slower than in the recorded program. Exit code 1 if one is.
///
/// The baseline is a program, not a list of times. Both programs run now, so that a machine that has become slower or busier does not look
/// like a fault, and they run in both orders, since the machine may change between the two. A stage counts as slower when both 95 %
/// intervals of its change lie above the tolerance.
#[derive(clap::Args)]
pub struct Args {
    /// Record this checkout's program as the baseline instead
    #[arg(long)]
    record: bool,
    /// Only stages whose name contains this, e.g. "search/avx2"
    #[arg(long, value_name = "PART", default_value = "")]
    only: String,
    /// Per cent that a stage may be slower
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

/// criterion's estimate of the change between two measurements.
#[derive(Deserialize)]
struct Change {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Estimate {
    /// The change of the other program against this one.
    fn reversed(self) -> Estimate {
        let turn = |change: f64| 1.0 / (1.0 + change) - 1.0;
        let Interval { lower_bound, upper_bound } = self.confidence_interval;
        let confidence_interval = Interval { lower_bound: turn(upper_bound), upper_bound: turn(lower_bound) };
        Estimate { point_estimate: turn(self.point_estimate), confidence_interval }
    }

    /// The mean of two, and an interval that holds both.
    fn joined(self, other: Estimate) -> Estimate {
        let (one, two) = (self.confidence_interval, other.confidence_interval);
        let confidence_interval =
            Interval { lower_bound: one.lower_bound.min(two.lower_bound), upper_bound: one.upper_bound.max(two.upper_bound) };
        Estimate { point_estimate: (self.point_estimate + other.point_estimate) / 2.0, confidence_interval }
    }
}

/// Runs the command; `false` if a stage is slower.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let build = Build::of(workspace, &setup::prepare(workspace)?, Targets::Benchmark("stages"))?;
    let current = build.benchmark("stages")?;
    let folder = workspace.cache().join("bench/stages");
    let (baseline, note) = (folder.join("baseline"), folder.join("baseline.txt"));
    if args.record {
        files::make_folder(&folder)?;
        files::copy(current, &baseline)?;
        files::write(&note, commit(workspace))?;
        writeln!(io::stdout(), "recorded {}", commit(workspace)).context("cannot print the result")?;
        return Ok(true);
    }
    if !baseline.is_file() {
        bail!("there is no baseline: check out the commit to compare with, and run `cargo xtask bench stages --record` there");
    }
    let recorded = files::read(&note)?;
    let mut text = format!("change against {recorded} (median, 95 % intervals of both orders)\n");
    let mut slower = false;
    for stage in stages(current)?.iter().filter(|stage| stage.contains(&args.only)) {
        eprintln!("bench: {stage}");
        let pair = |first: &Path, second: &Path| {
            measure(first, &folder, stage, "--save-baseline")?;
            measure(second, &folder, stage, "--baseline")?;
            change(&folder.join(stage).join("change/estimates.json"))
        };
        let change = pair(&baseline, current)?.joined(pair(current, &baseline)?.reversed());
        slower |= change.confidence_interval.lower_bound * 100.0 > args.tolerance;
        text += &line(stage, &change, args.tolerance);
    }
    write!(io::stdout(), "{text}").context("cannot print the result")?;
    Ok(!slower)
}

/// The names of a program's benchmarks.
fn stages(program: &Path) -> Result<Vec<String>> {
    let text = process::output_of(Command::new(program).args(["--bench", "--list"]), "cannot list the stages")?;
    Ok(text.lines().filter_map(|line| Some(line.strip_suffix(": benchmark")?.to_owned())).collect())
}

fn measure(program: &Path, folder: &Path, stage: &str, how: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["--bench", "--exact", stage, how, "recorded", "--measurement-time", "3", "--warm-up-time", "1"]);
    process::output_of(command.env("CRITERION_HOME", folder), "cannot measure a stage").map(drop)
}

fn change(path: &Path) -> Result<Estimate> {
    let change: Change = serde_json::from_str(&files::read(path)?)
        .with_context(|| format!("{}: not a change as criterion writes it", path.display()))?;
    Ok(change.median)
}

fn line(stage: &str, change: &Estimate, tolerance: f64) -> String {
    let Interval { lower_bound, upper_bound } = change.confidence_interval;
    let [middle, low, high] = [change.point_estimate, lower_bound, upper_bound].map(|share| share * 100.0);
    let word = match () {
        () if low > tolerance => "slower",
        () if high < -tolerance => "faster",
        () => "no change that counts",
    };
    format!("{stage:28} {middle:+6.1} % ({low:+.1} to {high:+.1})  {word}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_depends_on_the_order_does_not_count() {
        let found = |low: f64, high: f64| {
            let interval = Interval { lower_bound: low, upper_bound: high };
            Estimate { point_estimate: (low + high) / 2.0, confidence_interval: interval }
        };
        // The second program is faster, whichever it is.
        let same = found(-0.18, -0.12).joined(found(-0.18, -0.12).reversed());
        assert!(line("x", &same, 5.0).ends_with("no change that counts\n"));
        let slower = found(0.10, 0.12).joined(found(-0.12, -0.10).reversed());
        assert!(line("x", &slower, 5.0).ends_with("slower\n"));
    }

    #[test]
    fn only_a_whole_interval_beyond_the_tolerance_counts() {
        let shown = |low: f64, high: f64| {
            let interval = Interval { lower_bound: low, upper_bound: high };
            line("x", &Estimate { point_estimate: (low + high) / 2.0, confidence_interval: interval }, 5.0)
        };
        assert!(shown(0.04, 0.30).ends_with("no change that counts\n"));
        assert!(shown(0.06, 0.08).ends_with("slower\n"));
        assert!(shown(-0.30, -0.06).ends_with("faster\n"));
        assert!(shown(0.06, 0.08).contains("+7.0 % (+6.0 to +8.0)"));
    }
}
