//! A program that is kept warm and measures itself on request.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Pause before each frame: thread pools spin for a moment after their work, which would slow the next contender down.
const REST: Duration = Duration::from_millis(30);

/// One of several programs that take turns.
pub struct Contender {
    /// Its name in the table.
    pub name: &'static str,
    program: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Contender {
    /// Starts the program and waits until it prints "ready".
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        eprintln!("bench: starting {name}");
        // Idle threads of OpenMP would spin in the others' time.
        command.env("OMP_WAIT_POLICY", "passive").env("OMP_NUM_THREADS", "2");
        let mut program = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        let requests = program.stdin.take().context("a program has no standard input")?;
        let answers = BufReader::new(program.stdout.take().context("a program has no standard output")?).lines();
        let mut contender = Self { name, program, requests, answers };
        match contender.answer()?.as_str() {
            "ready" => Ok(contender),
            other => bail!("{name} answered {other:?} where \"ready\" was expected"),
        }
    }

    /// Milliseconds for one frame.
    pub fn measure(&mut self, frame: usize) -> Result<f64> {
        thread::sleep(REST);
        writeln!(self.requests, "{frame}").with_context(|| format!("{} takes no requests", self.name))?;
        let answer = self.answer()?;
        answer.parse().with_context(|| format!("{} answered {answer:?}, no number", self.name))
    }

    fn answer(&mut self) -> Result<String> {
        let line = self.answers.next().with_context(|| format!("{} ended, see its message above", self.name))?;
        line.with_context(|| format!("cannot read what {} answers", self.name))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // An error means that it has ended by itself already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Lets the contenders take turns, one frame each; returns the milliseconds of each contender.
pub fn race(contenders: &mut [Contender], rounds: usize) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(contender.measure(round)?);
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn contenders_take_turns() {
        let echo = "echo ready; while read frame; do echo $((frame * 2)); done";
        let mut contenders =
            vec![Contender::start("a", &mut shell(echo)).unwrap(), Contender::start("b", &mut shell(echo)).unwrap()];
        assert_eq!(race(&mut contenders, 3).unwrap(), vec![vec![0.0, 2.0, 4.0]; 2]);
    }

    #[test]
    fn a_contender_that_dies_or_talks_is_an_error_that_names_it() {
        let error = |script| Contender::start("a", &mut shell(script)).err().unwrap().to_string();
        assert!(error("exit 1").contains("a ended"));
        assert!(error("echo hello").contains("hello"));
    }
}
