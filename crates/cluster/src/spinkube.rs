//! SpinKube's operator.

use std::process::Command;

use anyhow::Result;
use harness::process::Process;

use crate::control_plane::ControlPlane;

/// The user that it is, with the rights that its own manifests give it.
const USER: &str = "spin-operator";

/// Starts the operator, which makes Deployments and Services of SpinApps. Its definitions are to be
/// there ([`crate::crds`]).
///
/// # Errors
///
/// If it cannot be had, or does not become ready.
pub fn start(plane: &ControlPlane) -> Result<Process> {
    let module = crate::crds::module("github.com/spinkube/spin-operator")?;
    let role = module.join("config/rbac/role.yaml");
    let kubectl = &plane.kubectl;
    kubectl.run(&["apply", "--filename", &role.display().to_string()])?;
    // Kustomize gives the role a prefix there, and none here.
    let user = format!("--user={USER}");
    kubectl.run(&[
        "create",
        "clusterrolebinding",
        USER,
        "--clusterrole=manager-role",
        &user,
    ])?;
    let mut operator = Command::new(tools::find_or_fetch("spin-operator")?);
    operator
        .args([
            "--metrics-bind-address=0",
            "--health-probe-bind-address=127.0.0.1:8082",
        ])
        .env("KUBECONFIG", plane.kubeconfig(USER, "")?);
    plane.start_controller("spin-operator", &mut operator, || {
        harness::client::is_ok(8082, "/readyz")
    })
}
