//! prometheus-operator, which makes of monitors, rules and routes what Prometheus and Alertmanager run.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use harness::process::Process;

use crate::control_plane::ControlPlane;

/// The module of the operator, whose definitions are those of [`crate::crds`].
const MODULE: &str = "github.com/prometheus-operator/prometheus-operator";

/// The user that the operator is, with the rights that its own manifests give it.
const USER: &str = "prometheus-operator";

/// Where the operator says how it is.
const PORT: u16 = 8083;

/// Starts the operator. Its definitions are to be there ([`crate::crds`]). Its webhooks, which
/// judge rules before they are stored, are another program, which is not started.
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(plane: &ControlPlane) -> Result<Process> {
    bind(
        plane,
        "prometheus-operator/prometheus-operator-cluster-role.yaml",
        USER,
        &format!("--user={USER}"),
    )?;
    let mut operator = Command::new(tools::find_or_fetch("prometheus-operator")?);
    operator
        .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
        .env("KUBECONFIG", plane.kubeconfig(USER, "")?);
    plane.start_controller("prometheus-operator", &mut operator, || {
        harness::client::is_ok(PORT, "/healthz")
    })
}

/// A kubeconfig for Prometheus as the ServiceAccount `account` of `namespace`, with the rights that
/// the operator's manifests give it: to find what it scrapes.
///
/// # Errors
///
/// If it cannot be written, or its rights cannot be given.
pub fn discovery(plane: &ControlPlane, namespace: &str, account: &str) -> Result<PathBuf> {
    bind(
        plane,
        "prometheus/prometheus-cluster-role.yaml",
        "prometheus",
        &format!("--serviceaccount={namespace}:{account}"),
    )?;
    plane.kubeconfig(&format!("system:serviceaccount:{namespace}:{account}"), "")
}

/// Gives `subject` the role `name` of the manifest.
fn bind(plane: &ControlPlane, manifest: &str, name: &str, subject: &str) -> Result<()> {
    let role = crate::crds::module(MODULE)?
        .join("example/rbac")
        .join(manifest);
    let kubectl = &plane.kubectl;
    kubectl.run(&["apply", "--filename", &role.display().to_string()])?;
    let role = format!("--clusterrole={name}");
    kubectl.run(&["create", "clusterrolebinding", name, &role, subject])?;
    Ok(())
}
