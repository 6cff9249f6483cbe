//! A part of a run of tests, and the summary of all.

use std::{
    fmt,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tools::{root, run::announce};

/// A part that has run, or was skipped.
pub struct Part {
    name: String,
    counts: Counts,
    /// What the summary says of it.
    summary: String,
    skipped: Option<Skipped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipped {
    Allowed,
    Refused,
}

/// As the test runners count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Part {
    /// A part that does not run here, which fails the run unless it is `allowed`.
    pub fn skipped(name: &str, why: &str, allowed: bool) -> Self {
        Self {
            name: name.to_owned(),
            counts: Counts::default(),
            summary: format!("SKIPPED, {why}"),
            skipped: Some(if allowed {
                Skipped::Allowed
            } else {
                Skipped::Refused
            }),
        }
    }

    /// A part that is one measurement, with what came of it.
    pub fn measured(name: &str, took: Duration, result: &str, passes: bool) -> Self {
        let counts = Counts {
            passed: u32::from(passes),
            failed: u32::from(!passes),
            ignored: 0,
        };
        Self::ran(name, counts, took, result)
    }

    fn ran(name: &str, counts: Counts, took: Duration, result: &str) -> Self {
        let Counts { passed, failed, .. } = counts;
        let ignored = (counts.ignored > 0).then(|| format!(", {} ignored", counts.ignored));
        let (ignored, seconds) = (ignored.unwrap_or_default(), took.as_secs());
        Self {
            name: name.to_owned(),
            counts,
            summary: format!("{passed} passed, {failed} failed{ignored}, in {seconds} s{result}"),
            skipped: None,
        }
    }

    /// Runs the tests of `cargo`; `filter` is for their runner. A test that fails is no error.
    pub fn run(name: &str, cargo: &mut Command, filter: &[&str]) -> Result<Self> {
        announce(&format!("testing: {name}"));
        let started = Instant::now();
        let mut child = cargo
            .args(["--locked", "--no-fail-fast", "--"])
            .args(filter)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("`cargo` does not start")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let (mut counts, mut failures, mut failing) = (Counts::default(), String::new(), false);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if counts.add(&line) {
                println!("{line} ({name})"); // where who reads logs of cargo looks for it
                failing = false;
            } else {
                failing |= line == "failures:";
                failures.extend(failing.then(|| format!("\n{line}"))); // for the summary
                println!("{} | {line}", name.split(" (").next().unwrap_or(name));
            }
        }
        // A test that does not compile, or a runner that dies, prints no line to count.
        let status = child.wait()?;
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
        }
        Ok(Self::ran(name, counts, started.elapsed(), &failures))
    }

    /// Whether this is the part `name`, and its runner ignored a test.
    pub fn has_ignored(&self, name: &str) -> bool {
        self.name == name && self.counts.ignored > 0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.summary)
    }
}

impl Counts {
    /// Adds the numbers in `test result: ok. 3 passed; 0 failed; 0 ignored; …`: what cargo's runner
    /// says in JSON, only a nightly Rust lets it say. Whether there were any.
    fn add(&mut self, line: &str) -> bool {
        let Some(result) = line.strip_prefix("test result: ") else {
            return false;
        };
        for item in result.split(['.', ';']) {
            let mut words = item.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u32>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                (Some(number), Some("ignored")) => self.ignored += number,
                _ => {}
            }
        }
        true
    }
}

/// Prints the summary. It is an error if a test failed, a part ran none, or one was skipped that may
/// not be.
pub fn summarise(parts: &[Part]) -> Result<()> {
    println!("\n==> summary");
    for part in parts {
        println!("{part}");
    }
    let sum = |count: fn(&Part) -> u32| parts.iter().map(count).sum::<u32>();
    let failed = sum(|part| part.counts.failed);
    println!(
        "{} passed, {failed} failed, {} skipped",
        sum(|part| part.counts.passed),
        sum(|part| part.skipped.is_some().into())
    );
    let names = |is: fn(&Part) -> bool| {
        let parts = parts.iter().filter(|part| is(part));
        let names: Vec<&str> = parts.map(|part| part.name.as_str()).collect();
        names.join(", ")
    };
    let empty =
        names(|part| part.skipped.is_none() && part.counts.passed + part.counts.failed == 0);
    ensure!(empty.is_empty(), "no test ran in: {empty}");
    ensure!(failed == 0, "{failed} failed");
    let refused = names(|part| part.skipped == Some(Skipped::Refused));
    ensure!(
        refused.is_empty(),
        "a part that is named may not be skipped (--allow-skip lets it): {refused}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_runner_says() {
        let mut counts = Counts::default();
        assert!(counts.add("test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"));
        let all = Counts {
            passed: 12,
            failed: 3,
            ignored: 1,
        };
        assert_eq!(counts, all);
        assert!(!counts.add("test result of mine: 12 passed"));
        assert_eq!(counts, all);
    }

    fn part(passed: u32, failed: u32) -> Part {
        let counts = Counts {
            passed,
            failed,
            ignored: 0,
        };
        Part::ran("native", counts, Duration::ZERO, "")
    }

    #[test]
    fn a_failure_an_empty_part_or_a_refused_skip_fails_the_run() {
        let skipped = |allowed| Part::skipped("schemas", "they are not there", allowed);
        let measured = |passes| Part::measured("coverage", Duration::ZERO, "", passes);
        assert!(summarise(&[part(3, 0), skipped(true), measured(true)]).is_ok());
        assert!(summarise(&[part(3, 0), skipped(false)]).is_err());
        assert!(summarise(&[part(3, 0), measured(false)]).is_err());
        assert!(summarise(&[part(3, 0), part(3, 1)]).is_err());
        assert!(summarise(&[part(3, 0), part(0, 0)]).is_err());
    }
}
