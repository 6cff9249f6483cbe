//! Linux namespaces that everything runs in, and ends with.

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use harness::namespace::{can_be_made, run_again};
use tools::run::run;

use crate::{ADDRESS, control_plane::SERVICES, crds};

/// Says that this process runs inside already.
const INSIDE: &str = "HELLO_CLUSTER_INSIDE";

/// Why a cluster cannot be had on this machine, if that is so.
#[must_use]
pub fn is_missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces and cgroups need root: run it as root");
    }
    // The definitions of custom resources come by it too, whatever is compiled already.
    if tools::find("go").is_none() {
        return Some(
            "there is no `go` on PATH to compile Kubernetes: install it from https://go.dev/dl",
        );
    }
    (!can_be_made())
        .then_some("`unshare` makes no namespaces here: in a container, that takes privileges")
}

/// Whether this process runs inside already: there is no network then.
#[must_use]
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this program again in namespaces of its own for the network, mounts and processes, and
/// returns how it ended there; `None` if this already is that run.
///
/// Whatever is started inside ends with its first process, however that ends. There is no network
/// inside, so `programs` are compiled or fetched before.
///
/// # Errors
///
/// If a program cannot be had, or the namespaces cannot be made.
pub fn enter(programs: &[&'static str]) -> Result<Option<ExitCode>> {
    if is_inside() {
        set_up()?;
        return Ok(None);
    }
    for program in programs {
        tools::find_or_fetch(*program)?;
    }
    crds::fetch()?;
    let name = format!("hello-{}", std::process::id());
    let ended = run_again(INSIDE, &name);
    remove_cgroups(&name);
    ended.map(Some)
}

/// The cgroup that a node's pods are in, made if need be: `/hello-NUMBER/NODE`, below the roots of
/// all hierarchies.
pub(crate) fn cgroup(node: &str) -> Result<String> {
    let name = env::var(INSIDE).context("this process is in no namespace")?;
    for hierarchy in hierarchies()? {
        let mut directory = hierarchy.clone();
        for part in [&name, node] {
            directory.push(part);
            fs::create_dir_all(&directory)?;
            // A new cpuset is empty, and takes no process until it has what its parent has.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(hierarchy.join(file)) {
                    fs::write(directory.join(file), value)?;
                }
            }
        }
    }
    Ok(format!("/{name}/{node}"))
}

/// The directories of the cgroup hierarchies: one with cgroup v2, several with v1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).context("this machine has no cgroups")?;
    let directories = entries.flatten().map(|entry| entry.path());
    Ok(directories.filter(|path| path.is_dir()).collect())
}

/// Removes the cgroups that pods have left.
fn remove_cgroups(name: &str) {
    fn remove(directory: &Path) {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for path in entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
        {
            remove(&path);
        }
        let _ = fs::remove_dir(directory);
    }
    for hierarchy in hierarchies().unwrap_or_default() {
        remove(&hierarchy.join(name));
    }
}

/// Gives the network another address, unless it is there.
pub(crate) fn add_address(address: Ipv4Addr) -> Result<()> {
    let mut ip = Command::new(tools::find_or_fetch("ip")?);
    ip.args([
        "address",
        "replace",
        &format!("{address}/24"),
        "dev",
        "hello0",
    ]);
    run("give the cluster's network an address", &mut ip)
}

/// Gives the host `name` the cluster's address.
pub(crate) fn add_host(name: &str) -> Result<()> {
    let hosts = "/run/hosts";
    fs::write(hosts, format!("127.0.0.1 localhost\n{ADDRESS} {name}\n"))?;
    run(
        "give a host an address",
        Command::new("mount").args(["--bind", hosts, "/etc/hosts"]),
    )
}

/// Gives the namespaces a /run of their own, a loopback, and the cluster its addresses.
fn set_up() -> Result<()> {
    run(
        "give the cluster a /run of its own",
        Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]),
    )?;
    let ip = tools::find_or_fetch("ip")?;
    let address = format!("{ADDRESS}/24");
    for arguments in [
        "link set lo up",
        "link add hello0 type bridge",
        &format!("address add {address} dev hello0"),
        "link set hello0 up",
        // Without a route to them, what goes to Services would never come to where kube-proxy
        // sends it on.
        &format!("route add {SERVICES} dev hello0"),
        // What is for anywhere else fails at once rather than time out.
        "route add unreachable default metric 4278198272",
    ] {
        let words = arguments.split(' ');
        run(
            "set up the cluster's network",
            Command::new(&ip).args(words),
        )?;
    }
    Ok(())
}
