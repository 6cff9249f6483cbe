//! The names of Services.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use harness::process::Process;

use crate::{ADDRESS, control_plane::ControlPlane};

/// Starts the DNS server that the kubelet names to pods.
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let kubeconfig = plane.kubeconfig("coredns", "system:masters")?;
    let config = directory.join("Corefile");
    let text = format!(
        "cluster.local:53 {{\n  bind {ADDRESS}\n  errors\n  kubernetes {{\n    kubeconfig {}\n  }}\n}}\n",
        kubeconfig.display()
    );
    fs::write(&config, text)?;
    let mut command = Command::new(tools::find_or_fetch("coredns")?);
    command.arg("-conf").arg(config);
    plane.start_controller("coredns", &mut command, || {
        std::net::TcpStream::connect((ADDRESS, 53)).is_ok()
    })
}
