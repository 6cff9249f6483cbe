//! `cargo xtask bench against`: this tree beside an earlier revision of it, under one load.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::{
    host::{Host, Setup, free_port},
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read, require_disk, run as start},
    target,
};

use crate::{
    choose,
    load::{self, Load, Method, Sample, Service},
    stats::{median, range},
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The revision to compare with, as git names it
    revision: String,
    /// The host that both run on: Spin where there is one, else wasmCloud
    #[arg(long)]
    host: Option<HostKind>,
    /// How often each is measured under each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each run lasts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep-alive connections, with one request at a time on each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32],
          value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: Vec<u32>,
}

/// Measures GETs from key-value, and prints each one's results and their ratio.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    load::prepare()?;
    let (kind, program) = choose(options.host)?;
    componentize::build(Some(kind))?;
    let earlier = earlier(kind, &options.revision)?;

    let start = |name: &'static str, artifact: &Path| {
        let data = tools::fresh(&format!("bench/against/{name}"))?;
        let log = data.join("log");
        let setup = Setup::shipped(&data, Some(&log));
        Host::start_artifact(kind, &program, artifact, free_port()?, setup)
    };
    let hosts = [
        start("earlier", &earlier)?,
        start("this", &kind.artifact())?,
    ];
    let services = [
        Service::of("earlier", &hosts[0]),
        Service::of("this", &hosts[1]),
    ];
    services.iter().try_for_each(Service::seed)?;
    println!(
        "GET from key-value on {kind}: {} and this tree, {} rounds of {} s",
        options.revision, options.rounds, options.seconds
    );
    let log = target().join("bench/against/wrk.log");
    let mut rows = Vec::new();
    for &connections in &options.connections {
        let load = Load {
            method: Method::Get,
            connections,
            seconds: options.seconds,
            database: None,
            log: &log,
        };
        rows.push(row(connections, &load.in_turn(&services, options.rounds)?));
    }
    println!(
        "connections  earlier, 1/s  this, 1/s  ratio (of single rounds)  p50, ms      p99, ms      \
         CPU time, µs/request"
    );
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

fn row(connections: u32, samples: &[Vec<Sample>]) -> String {
    let of = |which: usize, value: fn(&Sample) -> f64| median(samples[which].iter().map(value));
    let rounds = samples[0].iter().zip(&samples[1]);
    let ratios = rounds.map(|(earlier, this)| this.throughput / earlier.throughput);
    let (low, high) = range(ratios.clone());
    let change = |value, decimals: usize| {
        format!("{:.decimals$} → {:.decimals$}", of(0, value), of(1, value))
    };
    format!(
        "{connections:>11}{:>14.0}{:>11.0}  {:.2} ({low:.2} to {high:.2})      {:<13}{:<13}{}",
        of(0, |sample| sample.throughput),
        of(1, |sample| sample.throughput),
        median(ratios),
        change(|sample| sample.p50, 2),
        change(|sample| sample.p99, 2),
        change(|sample| sample.cpu_time, 0),
    )
}

/// Builds `revision` as its own tasks build it, and returns the component.
fn earlier(kind: HostKind, revision: &str) -> Result<PathBuf> {
    let git = |directory: &Path| {
        let mut git = Command::new("git");
        git.arg("-C").arg(directory);
        git
    };
    let commit = read(
        "find the revision",
        git(&root())
            .args(["rev-parse", "--verify", "--quiet"])
            .arg(format!("{revision}^{{commit}}")),
    )
    .with_context(|| format!("git knows no revision {revision}"))?;
    let commit = commit.trim();
    let tree = target().join("bench/against").join(commit);
    fs::create_dir_all(&tree)?;
    require_disk(&tree, 3000)?;
    announce(&format!("building {revision}"));
    let purpose = "take the revision out of git";
    if !tree.join(".git").exists() {
        start(
            purpose,
            git(&tree)
                .args(["clone", "--quiet", "--shared", "--no-checkout"])
                .arg(root())
                .arg("."),
        )?;
    }
    start(
        purpose,
        git(&tree).args(["checkout", "--quiet", "--detach", commit]),
    )?;
    start(
        "build the revision",
        Command::new("cargo")
            .args(["xtask", "build", "--host", &kind.to_string()])
            .current_dir(&tree),
    )?;
    // Where an artifact lies has moved once.
    ["target/components", "target/wasm32-wasip2/release"]
        .into_iter()
        .map(|place| tree.join(place).join(format!("hello_{kind}.wasm")))
        .find(|artifact| artifact.exists())
        .with_context(|| format!("{revision} made no component for {kind}"))
}
