//! `cargo xtask bench against`: this tree beside an earlier revision of it, under one load.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::{
    host::{Store, choose, free_port},
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read, require_disk, run as start},
};

use crate::{
    load::{self, Measurement, Method, Service},
    report::Results,
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The revision to compare with, as git names it
    revision: String,
    #[command(flatten)]
    measurement: Measurement,
}

/// Measures GETs from key-value, and prints tables in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    load::prepare()?;
    let (kind, program) = choose(options.measurement.host)?;
    componentize::build(Some(kind))?;
    let earlier = earlier(kind, &options.revision)?;

    let directory = tools::fresh("bench/run")?;
    let start = |name: &str, artifact: &Path| {
        let (data, port) = (directory.join(name), free_port()?);
        crate::start(kind, &program, artifact, port, Store::Shipped, &data)
    };
    let services = [
        ("the revision", start("earlier", &earlier)?),
        ("this tree", start("this", &kind.artifact())?),
    ]
    .map(|(name, host)| Service::of(name.to_owned(), false, host));
    load::seed(&services)?;
    let cells =
        options
            .measurement
            .measure(&[Method::Get], &services, None, &directory.join("wrk.log"))?;
    let services = services.iter().map(|it| it.name.clone()).collect();
    println!(
        "GETs from key-value on {kind}, this tree beside {}; {}\n\n{}",
        options.revision,
        options.measurement,
        Results { services, cells }
    );
    Ok(())
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
    ["target/components", "target/wasm32-wasip2/release"]
        .into_iter()
        .map(|place| tree.join(place).join(format!("hello_{kind}.wasm")))
        .find(|artifact| artifact.exists())
        .with_context(|| format!("{revision} made no component for {kind}"))
}
