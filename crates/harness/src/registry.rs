//! A registry of OCI artifacts on this machine.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;
use tools::run::announce;

use crate::{client, host::free_port, process::Process};

/// How long it may take to start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Starts an empty one with its data in `directory`, without TLS, and returns its port too.
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(directory: &Path) -> Result<(Process, u16)> {
    let program = tools::find_or_fetch("docker-registry")?;
    announce("starting a registry");
    let port = free_port()?;
    let config = directory.join("config.yml");
    let data = directory.join("data").display().to_string();
    fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {data:?}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n"
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("serve").arg(config);
    let log = directory.join("log");
    let registry = Process::start_server(&mut command, Some(&log), TIMEOUT, || {
        client::is_ok(port, "/v2/")
    })?;
    Ok((registry, port))
}
