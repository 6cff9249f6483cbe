//! What a run of tests says at its end: each part's counts, and what was skipped.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tools::{root, run::announce};

/// A part of the run.
pub struct Part {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Ran {
        counts: Counts,
        took: Duration,
        note: String,
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
            let (passed, failed) = counts_of(&line);
            counts.passed += passed;
            counts.failed += failed;
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
                note: String::new(),
            },
        })
    }

    /// Adds a measured `result` to the part's line in the summary, and fails it unless it `holds`.
    #[must_use]
    pub fn with(mut self, result: String, holds: bool) -> Self {
        if let Outcome::Ran { counts, note, .. } = &mut self.outcome {
            *note = result;
            if holds {
                counts.passed += 1;
            } else {
                counts.failed += 1;
            }
        }
        self
    }
}

/// The numbers in `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
fn counts_of(line: &str) -> (u32, u32) {
    let Some(result) = line.strip_prefix("test result: ") else {
        return (0, 0);
    };
    let before = |what: &str| {
        let words: Vec<&str> = result.split([' ', ';', '.']).collect();
        words
            .windows(2)
            .find(|pair| pair[1] == what)
            .and_then(|pair| pair[0].parse().ok())
            .unwrap_or(0)
    };
    (before("passed"), before("failed"))
}

/// Prints the summary.
///
/// # Errors
///
/// If a test failed, a part ran none, or one was skipped that may not be.
pub fn summarise(parts: &[Part]) -> Result<()> {
    let mut total = Counts::default();
    let mut skipped = 0;
    let mut empty = Vec::new();
    let mut refused = Vec::new();
    println!("\n==> summary");
    for Part { name, outcome } in parts {
        match outcome {
            Outcome::Ran { counts, took, note } => {
                println!(
                    "{name}: {} passed, {} failed, in {} s{note}",
                    counts.passed,
                    counts.failed,
                    took.as_secs()
                );
                total.passed += counts.passed;
                total.failed += counts.failed;
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
    println!(
        "{} passed, {} failed, {skipped} skipped",
        total.passed, total.failed
    );
    if !empty.is_empty() {
        bail!("no test ran in: {}", empty.join(", "));
    }
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
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
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(counts_of(line), (12, 3));
        assert_eq!(counts_of("test result of mine: 12 passed"), (0, 0));
    }

    fn part(passed: u32, failed: u32) -> Part {
        Part {
            name: "native".to_owned(),
            outcome: Outcome::Ran {
                counts: Counts { passed, failed },
                took: Duration::ZERO,
                note: String::new(),
            },
        }
    }

    #[test]
    fn a_failure_an_empty_part_or_a_refused_skip_fails_the_run() {
        let skipped = |allowed| Part::skipped("schemas", "they are not there", allowed);
        assert!(summarise(&[part(3, 0), skipped(true)]).is_ok());
        assert!(summarise(&[part(3, 0), skipped(false)]).is_err());
        assert!(summarise(&[part(3, 0).with(" 97 %".to_owned(), false)]).is_err());
        assert!(summarise(&[part(3, 0)]).is_ok());
        assert!(summarise(&[part(3, 0), part(3, 1)]).is_err());
        assert!(summarise(&[part(3, 0), part(0, 0)]).is_err());
    }
}
