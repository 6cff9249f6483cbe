//! A registry of OCI artifacts, by TLS with a certificate of the cluster's CA.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use harness::process::Process;

use crate::{ADDRESS, control_plane::ControlPlane};

/// Where it answers, as the first part of an image's name.
pub const HOST: &str = "10.0.0.1:5000";

/// Starts an empty registry, with its data in `directory`.
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let serving = plane
        .authority
        .issue("registry", "", &[ADDRESS.to_string()])?;
    let config = directory.join("registry.yaml");
    let text = serde_json::json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": directory.join("registry")}},
        "http": {"addr": HOST, "tls": {"certificate": serving.certificate, "key": serving.key}},
    });
    fs::write(&config, text.to_string())?;
    let mut command = Command::new(tools::find_or_fetch("docker-registry")?);
    command.arg("serve").arg(config);
    plane.start_controller("registry", &mut command, || {
        std::net::TcpStream::connect(HOST).is_ok()
    })
}
