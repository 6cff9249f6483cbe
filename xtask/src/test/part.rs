//! A part of a run of tests, and the summary of all.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tools::{root, run::announce};

/// A part that has run, or was skipped.
pub struct Part {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Ran {
        counts: Counts,
        took: Duration,
        result: String,
    },
    Skipped {
        why: String,
        allowed: bool,
    },
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
            outcome: Outcome::Skipped {
                why: why.to_owned(),
                allowed,
            },
        }
    }

    /// A part that is one measurement, with what came of it.
    pub fn measured(name: &str, took: Duration, result: String, passes: bool) -> Self {
        let counts = Counts {
            passed: u32::from(passes),
            failed: u32::from(!passes),
            ignored: 0,
        };
        Self {
            name: name.to_owned(),
            outcome: Outcome::Ran {
                counts,
                took,
                result,
            },
        }
    }

    /// Runs the tests of `cargo`; `filter` is for their runner.
    ///
    /// # Errors
    ///
    /// If cargo does not start. A test that fails is in the outcome.
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
        let mut counts = Counts::default();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            counts.add(&line);
        }
        // A test that does not compile, or a runner that dies, prints no line to count.
        let status = child.wait()?;
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
        }
        Ok(Self {
            name: name.to_owned(),
            outcome: Outcome::Ran {
                counts,
                took: started.elapsed(),
                result: String::new(),
            },
        })
    }

    /// Whether this is the part `name`, and its runner ignored a test.
    pub fn has_ignored(&self, name: &str) -> bool {
        let ignored = matches!(self.outcome, Outcome::Ran { counts, .. } if counts.ignored > 0);
        ignored && self.name == name
    }
}

impl Counts {
    /// Adds the numbers in `test result: ok. 3 passed; 0 failed; 0 ignored; …`: what cargo's runner
    /// says in JSON, only a nightly Rust lets it say.
    fn add(&mut self, line: &str) {
        let result = line.strip_prefix("test result: ").unwrap_or_default();
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
    }
}

/// Prints the summary.
///
/// # Errors
///
/// If a test failed, a part ran none, or one was skipped that may not be.
pub fn summarise(parts: &[Part]) -> Result<()> {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let (mut empty, mut refused) = (Vec::new(), Vec::new());
    println!("\n==> summary");
    for Part { name, outcome } in parts {
        match outcome {
            Outcome::Ran {
                counts,
                took,
                result,
            } => {
                println!(
                    "{name}: {} passed, {} failed, in {} s{result}",
                    counts.passed,
                    counts.failed,
                    took.as_secs()
                );
                passed += counts.passed;
                failed += counts.failed;
                if counts.passed + counts.failed == 0 {
                    empty.push(name.as_str());
                }
            }
            Outcome::Skipped { why, allowed } => {
                println!("{name}: SKIPPED, {why}");
                skipped += 1;
                if !allowed {
                    refused.push(name.as_str());
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ensure!(empty.is_empty(), "no test ran in: {}", empty.join(", "));
    ensure!(failed == 0, "{failed} failed");
    ensure!(
        refused.is_empty(),
        "a part that is named may not be skipped (--allow-skip lets it): {}",
        refused.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_runner_says() {
        let mut counts = Counts::default();
        counts.add("test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        let all = Counts {
            passed: 12,
            failed: 3,
            ignored: 1,
        };
        assert_eq!(counts, all);
        counts.add("test result of mine: 12 passed");
        assert_eq!(counts, all);
    }

    fn part(passed: u32, failed: u32) -> Part {
        let counts = Counts {
            passed,
            failed,
            ignored: 0,
        };
        let outcome = Outcome::Ran {
            counts,
            took: Duration::ZERO,
            result: String::new(),
        };
        Part {
            name: "native".to_owned(),
            outcome,
        }
    }

    #[test]
    fn a_failure_an_empty_part_or_a_refused_skip_fails_the_run() {
        let skipped = |allowed| Part::skipped("schemas", "they are not there", allowed);
        let measured = |passes| Part::measured("coverage", Duration::ZERO, String::new(), passes);
        assert!(summarise(&[part(3, 0), skipped(true), measured(true)]).is_ok());
        assert!(summarise(&[part(3, 0), skipped(false)]).is_err());
        assert!(summarise(&[part(3, 0), measured(false)]).is_err());
        assert!(summarise(&[part(3, 0), part(3, 1)]).is_err());
        assert!(summarise(&[part(3, 0), part(0, 0)]).is_err());
    }
}
