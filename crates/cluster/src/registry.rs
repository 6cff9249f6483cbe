//! A registry of OCI artifacts, by TLS with a certificate of the cluster's CA.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use harness::process::Process;

use crate::{ADDRESS, control_plane::ControlPlane, namespace};

/// Where it answers, as the first part of an image's name.
pub const HOST: &str = "10.0.0.1:5000";

/// Starts an empty registry, with its data in `directory`.
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    serve(plane, directory, &ADDRESS.to_string(), HOST)
}

/// [`start`] in the place of the registry `name`, which leads to this machine from then on.
///
/// # Errors
///
/// As [`start`].
pub fn start_in_place_of(name: &str, plane: &ControlPlane, directory: &Path) -> Result<Process> {
    namespace::add_host(name)?;
    serve(plane, directory, name, &format!("{ADDRESS}:443"))
}

fn serve(plane: &ControlPlane, directory: &Path, name: &str, address: &str) -> Result<Process> {
    let serving = plane.authority.issue("registry", "", &[name.to_owned()])?;
    let config = directory.join("registry.yaml");
    let text = serde_json::json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": directory.join("registry")}},
        "http": {"addr": address, "tls": {"certificate": serving.certificate, "key": serving.key}},
    });
    fs::write(&config, text.to_string())?;
    let mut command = Command::new(tools::find_or_fetch("docker-registry")?);
    command.arg("serve").arg(config);
    plane.start_controller("registry", &mut command, || {
        std::net::TcpStream::connect(address).is_ok()
    })
}
