//! Helm charts of others, each out of its repository.

use std::{
    env,
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{fetching, folder, helm};
use crate::run::run;

/// What `tests/platform` reads: the folder of the charts, each a NAME-VERSION.tgz or a folder
/// NAME-VERSION.
pub const VARIABLE: &str = "HELLO_CHARTS";

/// A server of charts that all the world asks.
const SERVER: (&str, u16) = ("charts.jetstack.io", 443);

/// The folder of the charts: the one that the environment names, or, where charts can be pulled,
/// the one that they are pulled into.
#[must_use]
pub fn source() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let mut addresses = SERVER.to_socket_addrs().ok()?;
    let reached = addresses
        .any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok());
    reached.then(pulled)
}

fn pulled() -> PathBuf {
    folder().join("charts")
}

/// A chart in the folder `source`, where it is pulled into if that is the folder for it. The
/// repository is an address, or for OCI one without `oci://`, as Argo CD has it.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn find_or_pull(
    source: PathBuf,
    repository: &str,
    name: &str,
    version: &str,
) -> Result<PathBuf> {
    let unpacked = source.join(format!("{name}-{version}"));
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let packed = source.join(format!("{name}-{version}.tgz"));
    if packed.is_file() {
        return Ok(packed);
    }
    ensure!(
        source == pulled(),
        "{VARIABLE} has neither {name}-{version} nor {name}-{version}.tgz"
    );
    let helm = helm::program()?;
    let _fetching = fetching();
    let mut pull = Command::new(helm);
    pull.arg("pull");
    if repository.starts_with("https://") {
        pull.args([name, "--repo", repository]);
    } else {
        pull.arg(format!("oci://{repository}/{name}"));
    }
    pull.args(["--version", version, "--destination"])
        .arg(source);
    run(&format!("pull the chart {name} {version}"), &mut pull)?;
    Ok(packed)
}
