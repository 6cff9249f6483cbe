//! The program, as its own chart would start it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use cluster::{ADDRESS, crds, kubectl::Kubectl};
use deploy_tests::{
    checker::values_file,
    objects::{list, listed, named, parsed, strings, text},
    yaml,
};
use harness::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::fetch::go;

use super::Site;
use crate::delivered::{Delivered, values};

const KYVERNO: &str = "kyverno";

/// The Deployment of which one pod is started, and its service account.
const CONTROLLER: &str = "kyverno-admission-controller";

/// Where the API server asks it.
const PORT: u16 = 9443;

/// What of the chart's objects a cluster has before the pod.
const BEFORE: [&str; 6] = [
    "ServiceAccount",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// The process, while it runs, and the values of its chart.
static RUNNING: Mutex<Option<(Process, Value)>> = Mutex::new(None);

/// Starts it, unless it runs with the same values.
pub fn start(site: &Site, delivered: &Delivered) -> Result<()> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let values = values(delivered.application(KYVERNO)?);
    if running.as_ref().is_none_or(|(_, of)| of != values) {
        running.take();
        *running = Some((started(site, delivered)?, values.clone()));
    }
    Ok(())
}

/// Ends it without a warning.
pub fn kill() -> Result<()> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let (process, _) = running.take().context("Kyverno does not run")?;
    process.kill()
}

/// Has the API server ask it no more, if it does not run.
pub fn forget_if_away(kubectl: &Kubectl) -> Result<()> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_none() {
        kubectl.run(&[
            "delete",
            "validatingwebhookconfigurations,mutatingwebhookconfigurations",
            "--selector=webhook.kyverno.io/managed-by=kyverno",
        ])?;
    }
    Ok(())
}

fn started(site: &Site, delivered: &Delivered) -> Result<Process> {
    let kubectl = &site.plane.kubectl;
    let addon = delivered.application(KYVERNO)?;
    let namespace = text(addon, "/spec/destination/namespace");
    let module = go::pinned_module(KYVERNO, "github.com/kyverno/kyverno")?;
    let definitions = ["policies.kyverno.io", "policyreport", "reports"];
    let definitions = definitions.map(|of| module.join("config/crds").join(of));
    crds::apply(kubectl, &definitions)?;
    let there = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    kubectl.apply(&there.to_string(), &[])?;
    let chart = chart(&module, text(addon, "/spec/sources/0/targetRevision"))?;
    let made = parsed(&delivered.checker.template(
        KYVERNO,
        namespace,
        chart.path(),
        &[values_file(values(addon))?.to_path_buf()],
        &["--set", "crds.install=false", "--no-hooks"],
    )?)?;
    let before: Vec<Value> = made
        .iter()
        .filter(|object| BEFORE.contains(&text(object, "/kind")))
        .cloned()
        .collect();
    kubectl.apply(&listed(&before), &[&format!("--namespace={namespace}")])?;

    let deployment = named(&made, "Deployment", CONTROLLER)?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let account = format!("system:serviceaccount:{namespace}:{CONTROLLER}");
    let kubeconfig = site.plane.kubeconfig(&account, "system:serviceaccounts")?;
    let mirror = site.roots.display();
    let mut command = Command::new(tools::find_or_fetch(KYVERNO)?);
    for variable in list(container, "/env") {
        let name = text(variable, "/name");
        let value = match text(variable, "/valueFrom/fieldRef/fieldPath") {
            "metadata.namespace" => namespace,
            "metadata.name" => "kyverno-0",
            _ => text(variable, "/value"),
        };
        command.env(name, value);
    }
    command
        .args(strings(container, "/args"))
        .args(["--controllerRuntimeMetricsAddress=0", "--disableMetrics"])
        .arg(format!("--serverIP={ADDRESS}:{PORT}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg("--enableTuf")
        .arg(format!("--tufMirror=file://{mirror}"))
        .arg(format!("--tufRoot={mirror}/root.json"))
        .env("TUF_ROOT", tools::fresh("kyverno-tuf")?)
        .env("SSL_CERT_FILE", site.plane.authority.certificate());
    site.plane.start_controller(KYVERNO, &mut command, || {
        // Of its certificate, which it makes.
        let secret = format!("{KYVERNO}-svc.{namespace}.svc.{KYVERNO}-tls-pair");
        let secret = ["get", "secret", &secret, "--namespace", namespace];
        kubectl.run(&secret).is_ok() && std::net::TcpStream::connect((ADDRESS, PORT)).is_ok()
    })
}

/// The chart in the program's module, without the charts that it would take from elsewhere: definitions,
/// which the module has too, and what our values do without.
fn chart(module: &Path, version: &str) -> Result<TempDir> {
    let chart = TempDir::new()?;
    for entry in fs::read_dir(module.join("charts/kyverno"))? {
        let entry = entry?;
        symlink(entry.path(), chart.path().join(entry.file_name()))?;
    }
    let [about, locked] = ["Chart.yaml", "Chart.lock"].map(|file| chart.path().join(file));
    let mut described: Value = yaml(&about)?;
    let found = text(&described, "/version");
    ensure!(
        found == version,
        "{version} of the chart is not what runs here: {found}"
    );
    let dependencies = described["dependencies"].as_array_mut();
    let dependencies = dependencies.context("the chart has dependencies")?;
    dependencies.retain(|one| !one["repository"].is_string());
    fs::remove_file(&about)?;
    fs::remove_file(locked)?;
    fs::write(about, described.to_string())?;
    Ok(chart)
}
