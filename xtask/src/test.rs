//! `cargo xtask test`: every test, on every host there is, and one summary.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{HostKind, build, manifests, root, run::announce, supply_chain, tools};

/// What `tests/hosts` reads: the host to test.
pub const HOST_VARIABLE: &str = "HELLO_HOST";

/// What `tests/hosts` reads: the host's program.
pub const PROGRAM_VARIABLE: &str = "HELLO_HOST_PROGRAM";

/// What `tests/hosts` reads: the component to test, if it is another than what is built here.
pub const ARTIFACT_VARIABLE: &str = "HELLO_ARTIFACT";

/// What `tests/operations.rs` reads: whether it may fetch what it needs.
pub const OPERATIONS_VARIABLE: &str = "HELLO_OPERATIONS";

/// What `tests/workflows` reads: whether it may fetch what it needs.
pub const WORKFLOWS_VARIABLE: &str = "HELLO_WORKFLOWS";

/// What `tests/platform` reads: whether it may fetch what it needs.
pub const PLATFORM_VARIABLE: &str = "HELLO_PLATFORM";

/// What can be chosen.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Run this part alone, and fetch what it needs: a part that is named is never skipped. It may
    /// be given several times [default: all parts]
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Choice>,
}

/// A part that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// What needs no host
    Native,
    /// The workflows of .github
    Workflows,
    /// Licences, sources and use of all dependencies
    SupplyChain,
    /// The chart and the manifests of deploy/
    Manifests,
    /// Terraform, clusters, add-ons and diagrams of deploy/platform
    Platform,
    /// Alerts, backups and the swap
    Operations,
    /// Postgres as the store, on every host
    Postgres,
    /// The documents, the page in a browser, and the metrics, on every host
    Docs,
    /// The rest of the component's tests on wasmCloud
    Wasmcloud,
    /// The rest of them on Spin
    Spin,
}

/// The parts that are some of a host's tests: those with this word in their name.
const TOPICS: &[(Choice, &str)] = &[
    (Choice::Postgres, "postgres"),
    (Choice::Docs, "operations: "),
];

impl Choice {
    /// What `--part` takes.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::value_variants()
            .iter()
            .filter_map(Self::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect()
    }
}

/// The programs of Debian's that the parts ask for, and their packages.
const PROGRAMS: [(&str, &str); 9] = [
    ("amtool", "prometheus-alertmanager"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("haproxy", "haproxy"),
    ("lua5.1", "lua5.1"),
    ("nginx", "nginx"),
    ("openssl", "openssl"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
];

/// A part of the run.
struct Part {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Ran { counts: Counts, took: Duration },
    Skipped { why: String },
}

/// As the test runners count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
}

/// Runs everything, or what is chosen.
///
/// # Errors
///
/// If a test failed, or a part ran none.
pub fn test(options: &Options) -> Result<()> {
    let named = !options.parts.is_empty();
    let wants = |choice| !named || options.parts.contains(&choice);
    if !named {
        // All at once, to be quick. Without one, the part that needs it fails and says so again.
        if let Err(error) = tools::debian::programs(&PROGRAMS) {
            eprintln!("{error:#}");
        }
    }
    let topics = || TOPICS.iter().filter(|(topic, _)| wants(*topic));
    let on_hosts = topics().count() > 0 || wants(Choice::Wasmcloud) || wants(Choice::Spin);
    if on_hosts || wants(Choice::Operations) {
        tools::find_or_fetch(HostKind::Wasmcloud)?;
        build::build(None)?;
    }

    let mut parts = Vec::new();
    if wants(Choice::Native) {
        parts.push(run_part("native", Command::new("cargo").arg("test"), &[])?);
    }
    if wants(Choice::Workflows) {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["test", "--package", "hello", "--test", "workflows"])
            .env(WORKFLOWS_VARIABLE, "1");
        parts.push(run_part("workflows", &mut cargo, &[])?);
    }
    if wants(Choice::SupplyChain) {
        parts.extend(run_supply_chain(named)?);
    }
    if wants(Choice::Manifests) {
        parts.extend(run_manifests(manifests::schemas().as_deref())?);
    }
    if wants(Choice::Platform) {
        parts.extend(run_platform(manifests::schemas().as_deref())?);
    }
    if wants(Choice::Operations) {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["test", "--package", "hello", "--test", "operations"])
            .env(OPERATIONS_VARIABLE, "1");
        parts.push(run_part("operations", &mut cargo, &[])?);
    }
    for (kind, choice) in [
        (HostKind::Wasmcloud, Choice::Wasmcloud),
        (HostKind::Spin, Choice::Spin),
    ] {
        if !wants(choice) && topics().count() == 0 {
            continue;
        }
        let program = if named {
            Some(tools::find_or_fetch(kind)?)
        } else {
            tools::find(kind)?
        };
        let Some(program) = program else {
            parts.push(Part {
                name: kind.to_string(),
                outcome: Outcome::Skipped {
                    why: "there is no `spin` on PATH: install it from https://spinframework.dev"
                        .to_owned(),
                },
            });
            continue;
        };
        if wants(choice) {
            let others = TOPICS.iter().filter(|(topic, _)| !wants(*topic));
            let filter: Vec<_> = others.flat_map(|(_, word)| ["--skip", word]).collect();
            parts.push(run_host(kind, &program, &filter)?);
        } else {
            for (_, word) in topics() {
                parts.push(run_host(kind, &program, &[word])?);
            }
        }
    }
    summarise(&parts)
}

/// Runs the checks of the dependencies, where that compiles nothing or it `may_compile`.
fn run_supply_chain(may_compile: bool) -> Result<Vec<Part>> {
    let skipped = |name: &str, why: &str| Part {
        name: name.to_owned(),
        outcome: Outcome::Skipped {
            why: why.to_owned(),
        },
    };
    if !may_compile && !supply_chain::is_compiled() {
        let why =
            "cargo-deny takes minutes to compile: `cargo xtask test --part supply-chain` does";
        return Ok(vec![skipped("supply chain", why)]);
    }
    let (mut cargo, advisories) = supply_chain::command()?;
    let mut parts = vec![run_part("supply chain", &mut cargo, &[])?];
    if !advisories {
        parts.push(skipped("advisories", "their database cannot be fetched"));
    }
    Ok(parts)
}

/// Runs the checks of the manifests, and sums up.
///
/// # Errors
///
/// If one failed.
pub(crate) fn manifests_alone(schemas: Option<&Path>) -> Result<()> {
    summarise(&run_manifests(schemas)?)
}

fn run_manifests(schemas: Option<&Path>) -> Result<Vec<Part>> {
    with_schemas("manifests", &mut manifests::command(schemas), schemas)
}

fn run_platform(schemas: Option<&Path>) -> Result<Vec<Part>> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--package", "hello", "--test", "platform"])
        .env(PLATFORM_VARIABLE, "1")
        .env_remove(manifests::SCHEMAS_VARIABLE);
    if let Some(schemas) = schemas {
        cargo.env(manifests::SCHEMAS_VARIABLE, schemas);
    }
    let charts = tools::charts::source();
    if let Some(charts) = &charts {
        cargo.env(tools::charts::VARIABLE, charts);
    }
    let mut parts = with_schemas("platform", &mut cargo, schemas)?;
    if tools::terraform().is_none() {
        parts.push(Part {
            name: "platform: the Terraform modules, and what IAM lets a backup do".to_owned(),
            outcome: Outcome::Skipped {
                why: "there is no `terraform` on PATH: install it from \
                      https://developer.hashicorp.com/terraform/install"
                    .to_owned(),
            },
        });
    }
    if charts.is_none() {
        parts.push(Part {
            name: "platform: the charts of others, with our values".to_owned(),
            outcome: Outcome::Skipped {
                why: "no repository of charts answers: name a folder of them as HELLO_CHARTS"
                    .to_owned(),
            },
        });
    }
    Ok(parts)
}

/// Runs a part that validates custom resources, and says where it could not.
fn with_schemas(name: &str, cargo: &mut Command, schemas: Option<&Path>) -> Result<Vec<Part>> {
    let mut parts = vec![run_part(name, cargo, &[])?];
    if schemas.is_none() {
        parts.push(Part {
            name: format!("{name}: custom resources against their schemas"),
            outcome: Outcome::Skipped {
                why: "there is no ../shared/schemas: name the folder with --schemas, or as \
                      HELLO_SCHEMAS"
                    .to_owned(),
            },
        });
    }
    Ok(parts)
}

fn run_host(kind: HostKind, program: &PathBuf, filter: &[&str]) -> Result<Part> {
    run_part(
        &format!("{kind} ({})", tools::version(program)),
        Command::new("cargo")
            .args(["test", "--package", "hello", "--test", "hosts"])
            .env(HOST_VARIABLE, kind.to_string())
            .env(PROGRAM_VARIABLE, program),
        filter,
    )
}

/// Runs the table of requests, and the suite for stores, against `artifact`.
///
/// # Errors
///
/// If a test failed.
pub(crate) fn table_against(artifact: &Path, kind: HostKind, program: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--package", "hello", "--test", "hosts"])
        .env(HOST_VARIABLE, kind.to_string())
        .env(PROGRAM_VARIABLE, program)
        .env(ARTIFACT_VARIABLE, artifact);
    let part = run_part(&format!("{kind}, pulled"), &mut cargo, &["key-value: "])?;
    summarise(&[part])
}

/// Runs the tests of `cargo`; `filter` is for their runner.
fn run_part(name: &str, cargo: &mut Command, filter: &[&str]) -> Result<Part> {
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
    Ok(Part {
        name: name.to_owned(),
        outcome: Outcome::Ran {
            counts,
            took: started.elapsed(),
        },
    })
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

fn summarise(parts: &[Part]) -> Result<()> {
    let mut total = Counts::default();
    let mut skipped = 0;
    let mut empty = Vec::new();
    println!("\n==> summary");
    for Part { name, outcome } in parts {
        match outcome {
            Outcome::Ran { counts, took } => {
                println!(
                    "{name}: {} passed, {} failed, in {} s",
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
            Outcome::Skipped { why } => {
                println!("{name}: SKIPPED, {why}");
                skipped += 1;
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
            },
        }
    }

    #[test]
    fn a_failure_or_an_empty_part_fails_the_run() {
        assert!(summarise(&[part(3, 0)]).is_ok());
        assert!(summarise(&[part(3, 0), part(3, 1)]).is_err());
        assert!(summarise(&[part(3, 0), part(0, 0)]).is_err());
    }
}
