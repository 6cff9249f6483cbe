//! Helm charts of others, each out of its repository.

use std::{
    env, fs,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{directory, find_or_fetch, lock, run::read};

/// What `deploy/tests` reads: the directory of the charts, each a NAME-VERSION.tgz or a directory
/// NAME-VERSION.
pub const VARIABLE: &str = "HELLO_CHARTS";

/// A server of charts that all the world asks.
const SERVER: (&str, u16) = ("charts.jetstack.io", 443);

/// How long it may take to answer, with the look-up of its name and all its addresses.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The directory of the charts: the one that the environment names, or, where charts can be pulled,
/// the one that they are pulled into.
#[must_use]
pub fn source() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let (tx, rx) = mpsc::channel();
    // A look-up of a name cannot be told when to give up.
    thread::spawn(move || {
        let reached = SERVER.to_socket_addrs().is_ok_and(|mut addresses| {
            addresses.any(|address| TcpStream::connect_timeout(&address, PROBE_TIMEOUT).is_ok())
        });
        // Nobody listens any more if it took too long.
        let _ = tx.send(reached);
    });
    rx.recv_timeout(PROBE_TIMEOUT)
        .is_ok_and(|reached| reached)
        .then(pulled)
}

fn pulled() -> PathBuf {
    directory().join("charts")
}

/// A chart in the directory `source`, where it is pulled into if that is the directory for it.
pub fn find_or_pull(source: &Path, repository: &str, name: &str, version: &str) -> Result<PathBuf> {
    if let Some(found) = find(source, name, version) {
        return Ok(found);
    }
    ensure!(
        source == pulled(),
        "{VARIABLE} has neither {name}-{version} nor {name}-{version}.tgz: put one there, or unset \
         it to have charts pulled"
    );
    pull(source, repository, name, version)
}

fn find(source: &Path, name: &str, version: &str) -> Option<PathBuf> {
    let unpacked = source.join(format!("{name}-{version}"));
    if unpacked.is_dir() {
        return Some(unpacked);
    }
    let packed = source.join(format!("{name}-{version}.tgz"));
    packed.is_file().then_some(packed)
}

/// Pulls a chart into the directory `source`, as NAME-VERSION.tgz. The repository is an address, or
/// for OCI one without `oci://`, as Argo CD has it.
///
/// # Errors
///
/// One sentence, if it cannot be had, or is not what was asked for.
pub fn pull(source: &Path, repository: &str, name: &str, version: &str) -> Result<PathBuf> {
    let helm = find_or_fetch("helm")?;
    let _pulling = lock("charts")?;
    if let Some(found) = find(source, name, version) {
        return Ok(found);
    }
    // What is cut short stays in here, and so does Helm's own cache.
    let unfinished = source.join(format!("unfinished-{}", process::id()));
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("cannot write to {}", source.display()))?;
    let packed = source.join(format!("{name}-{version}.tgz"));
    let pulled = pull_into(&unfinished, &helm, repository, name, version)
        .and_then(|file| Ok(fs::rename(file, &packed)?));
    fs::remove_dir_all(&unfinished)?;
    pulled.with_context(|| {
        format!(
            "no {name} {version} from {repository}: is that version there? Where it cannot be \
             reached, name a directory with {name}-{version}.tgz as {VARIABLE}"
        )
    })?;
    Ok(packed)
}

/// The one file that it is: repositories may name it as they like.
fn pull_into(
    directory: &Path,
    helm: &Path,
    repository: &str,
    name: &str,
    version: &str,
) -> Result<PathBuf> {
    let command = || {
        let mut command = Command::new(helm);
        command.env("HELM_CACHE_HOME", directory.join("cache"));
        command
    };
    let files = directory.join("files");
    fs::create_dir_all(&files)?;
    let mut pull = command();
    pull.arg("pull");
    if repository.starts_with("https://") || repository.starts_with("http://") {
        pull.args([name, "--repo", repository]);
    } else {
        let registry = repository.trim_start_matches("oci://");
        pull.arg(format!("oci://{}/{name}", registry.trim_end_matches('/')));
    }
    pull.args(["--version", version, "--destination"])
        .arg(&files);
    read(&format!("pull the chart {name}"), &mut pull)?;
    let mut entries = fs::read_dir(&files)?;
    let file = entries.next().context("Helm has written nothing")??.path();
    // An index can say one thing, and the archive, or the page of a proxy in its place, another.
    let about = read(
        &format!("read the chart {name}"),
        command().args(["show", "chart"]).arg(&file),
    )?;
    let about: yaml_serde::Value = yaml_serde::from_str(&about)?;
    let says = |key: &str| about[key].as_str().unwrap_or_default();
    // `v1.2.3` and `1.2.3` are one for Helm: an index may have the other one.
    let (is, wanted) = (says("version"), version.trim_start_matches('v'));
    ensure!(
        says("name") == name && is.trim_start_matches('v') == wanted,
        "what came is {} {is}",
        says("name")
    );
    Ok(file)
}
