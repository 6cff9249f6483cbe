//! `cargo xtask cluster`: a Kubernetes of one's own on this machine.

use std::{
    env, fs,
    os::unix::fs::symlink,
    process::{Command as Program, ExitCode},
};

use anyhow::{Result, bail};
use cluster::{ADDRESS, control_plane::ControlPlane, crds, gateway, namespace, site::Site};
use serde_json::json;
use tools::{HostKind, run::announce, wasm_target::TARGET};

/// What can be done with it.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Start a Kubernetes with SpinKube and a gateway, release hello there, and open a shell in which
    /// `kubectl` speaks to it. All of it ends with the shell
    Up,
}

/// Does it, and says how that ended.
pub fn run(command: &Command) -> ExitCode {
    let Command::Up = command;
    up().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The programs that the cluster's tests need on this machine.
pub fn programs() -> Vec<&'static str> {
    let mut programs = cluster::API_SERVER.to_vec();
    // Only Spin makes a node worth its minutes of compiling.
    if tools::find(HostKind::Spin).is_some() {
        programs.extend(cluster::NODE);
        programs.extend(["pg_dump", "python/backup", TARGET]);
    }
    programs
}

fn up() -> Result<ExitCode> {
    if let Some(why) = namespace::is_missing() {
        bail!("{why}");
    }
    tools::find_or_fetch(HostKind::Spin)?;
    componentize::build(Some(HostKind::Spin))?; // there is no network inside
    let programs = [cluster::API_SERVER, cluster::NODE].concat();
    if let Some(ended) = namespace::enter(&programs)? {
        return Ok(ended);
    }
    let directory = tools::fresh("cluster")?;
    announce("starting the control plane");
    let plane = ControlPlane::start(&directory)?;
    announce("installing custom resource definitions");
    crds::install(&plane.kubectl)?;
    announce("starting nodes, SpinKube's operator and the gateway");
    let site = Site::start(&plane, &directory)?;
    announce("releasing hello");
    let version = json!({"name": "v1", "image": site.push("v1")?, "replicas": 2});
    site.deliver(&json!({"versions": [version], "active": "v1"}))?;
    site.wait_for("v1", 2)?;
    announce("ready: kubectl and helm speak to it in this shell; `exit` ends it");
    announce(&format!(
        "hello is at http://{ADDRESS}:{}/hello/NAME",
        gateway::PORT
    ));
    // Its own kubectl before the machine's: versions more than one minor apart may not fit.
    let programs = directory.join("bin");
    fs::create_dir(&programs)?;
    for name in ["helm", "kubectl"] {
        symlink(tools::find_or_fetch(name)?, programs.join(name))?;
    }
    let path = tools::path();
    let path = [programs].into_iter().chain(env::split_paths(&path));
    let shell = env::var("SHELL").unwrap_or_else(|_| "sh".to_owned());
    Program::new(shell)
        .env("KUBECONFIG", plane.kubectl.kubeconfig())
        .env("PATH", env::join_paths(path)?)
        .status()?;
    Ok(ExitCode::SUCCESS)
}
