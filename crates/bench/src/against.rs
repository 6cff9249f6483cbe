//! `cargo xtask bench against`: this tree beside an earlier revision of it, under one load.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::{
    host::{Store, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read, require_disk, run as start},
};

use crate::{
    compare::{hosts, label},
    load::{self, Measurement, Method, Server, Service},
    report::Results,
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The revision to compare with, as git names it
    revision: String,
    /// Keep the users in a Postgres that is started for it, not in key-value
    #[arg(long)]
    postgres: bool,
    #[command(flatten)]
    measurement: Measurement,
}

/// Measures GETs, and prints tables in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    load::prepare()?;
    let (hosts, program) = hosts(options.measurement.host)?;
    let kind = hosts[0];
    for host in &hosts {
        componentize::build(Some(*host))?;
    }
    let (tree, artifact) = earlier(kind, &options.revision)?;

    let directory = tools::fresh("bench/run")?;
    let postgres = if options.postgres {
        let settings = ["max_connections=2000".to_owned()];
        Some(Postgres::start_with(
            &directory.join("postgres"),
            &settings,
        )?)
    } else {
        None
    };
    let address = postgres.as_ref().map(Postgres::service);
    let service = |name: String, kind: HostKind, artifact: &Path, tree: Option<&Path>| {
        let data = directory.join(&name);
        let store = address.as_ref().map_or(Store::Shipped, Store::Postgres);
        let port = free_port()?;
        let host = crate::start(kind, &program, artifact, port, store, &data, tree)?;
        anyhow::Ok(Service::of(
            name,
            postgres.is_some(),
            port,
            Server::Host(host),
        ))
    };
    let name = "the revision".to_owned();
    let mut services = vec![service(name, kind, &artifact, Some(&tree))?];
    for host in &hosts {
        let name = format!("this tree, {}", label(*host));
        services.push(service(name, *host, &host.artifact(), None)?);
    }
    load::seed(&services)?;
    let cells = options.measurement.measure(
        &[Method::Get],
        &services,
        postgres.as_ref().map(Postgres::id).transpose()?,
        &directory.join("wrk.log"),
    )?;
    let store = if options.postgres {
        "Postgres"
    } else {
        "key-value"
    };
    println!(
        "GETs from {store} on {}, this tree beside {}; {}\n\n{}",
        tools::version(&program),
        options.revision,
        options.measurement,
        Results {
            services: services.iter().map(|it| it.name.clone()).collect(),
            floors: Vec::new(),
            cells
        }
    );
    Ok(())
}

/// Builds `revision` as its own tasks build it, and returns its tree and the component.
fn earlier(kind: HostKind, revision: &str) -> Result<(PathBuf, PathBuf)> {
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
    // Outside the project, whose .cargo/config.toml would count there too.
    let tree = env::temp_dir().join(format!("hello-{commit}"));
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
    let artifact = ["target/components", "target/wasm32-wasip2/release"]
        .into_iter()
        .map(|place| tree.join(place).join(format!("hello_{kind}.wasm")))
        .find(|artifact| artifact.exists())
        .with_context(|| format!("{revision} made no component for {kind}"))?;
    Ok((tree, artifact))
}
