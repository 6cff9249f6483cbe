//! What Prometheus would find by the API server: Debian's is built without `kubernetes_sd_configs`.
//!
//! Each of them becomes a file of targets, with the labels that Prometheus documents for it. What a
//! target becomes, and whether it is one, is left to the relabelling that the operator has written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cluster::kubectl::Kubectl;
use deploy_tests::objects::{fields, list, name, strings, text};
use serde_json::{Map, Value, json};

/// One of the `kubernetes_sd_configs`, and the file that takes its place.
pub struct Discovery {
    config: Value,
    file: PathBuf,
}

impl Discovery {
    /// Those of a configuration, which then names their files, in `directory`.
    pub fn take(config: &mut Value, directory: &Path) -> Result<Vec<Self>> {
        fs::create_dir_all(directory)?;
        let mut all = Vec::new();
        for pointer in ["/scrape_configs", "/alerting/alertmanagers"] {
            let users = config.pointer_mut(pointer).and_then(Value::as_array_mut);
            for user in users.with_context(|| format!("there is no {pointer}"))? {
                let user = user.as_object_mut().context("it is an object")?;
                let configs = user.remove("kubernetes_sd_configs");
                let mut files = Vec::new();
                for config in configs.iter().filter_map(Value::as_array).flatten() {
                    let file = directory.join(format!("{}.json", all.len()));
                    files.push(json!({"files": [file]}));
                    all.push(Self {
                        config: config.clone(),
                        file,
                    });
                }
                user.insert("file_sd_configs".to_owned(), files.into());
            }
        }
        Ok(all)
    }

    /// Writes what is found now, by the rights of `kubectl`.
    pub fn find(&self, kubectl: &Kubectl) -> Result<()> {
        let mut targets = Vec::new();
        for namespace in strings(&self.config, "/namespaces/names") {
            let namespace = format!("--namespace={namespace}");
            match text(&self.config, "/role") {
                "pod" => {
                    let pods = kubectl.get(&["pods", &namespace])?;
                    targets.extend(list(&pods, "/items").iter().flat_map(of_pod));
                }
                "endpointslice" => {
                    let slices = kubectl.get(&["endpointslices", &namespace])?;
                    targets.extend(list(&slices, "/items").iter().flat_map(of_slice));
                }
                other => bail!("the role {other} is not found here"),
            }
        }
        // Prometheus reads it whenever it changes, but not half of it.
        let unfinished = self.file.with_extension("unfinished");
        fs::write(&unfinished, Value::from(targets).to_string())?;
        Ok(fs::rename(unfinished, &self.file)?)
    }
}

/// A target for each port of each container.
fn of_pod(pod: &Value) -> Vec<Value> {
    let conditions = list(pod, "/status/conditions").iter();
    let mut ready = conditions.filter(|one| one["type"] == "Ready");
    let ready = ready.next().map(|one| text(one, "/status").to_lowercase());
    let mut labels = Map::new();
    let mut say = |key: &str, value: &str| {
        labels.insert(format!("__meta_kubernetes_{key}"), value.into());
    };
    say("namespace", text(pod, "/metadata/namespace"));
    say("pod_name", name(pod));
    say("pod_ip", text(pod, "/status/podIP"));
    say("pod_phase", text(pod, "/status/phase"));
    say("pod_ready", ready.as_deref().unwrap_or("unknown"));
    for (key, value) in fields(pod, "/metadata/labels") {
        let key = key.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        say(
            &format!("pod_label_{key}"),
            value.as_str().unwrap_or_default(),
        );
        say(&format!("pod_labelpresent_{key}"), "true");
    }
    let mut targets = Vec::new();
    for container in list(pod, "/spec/containers") {
        for port in list(container, "/ports") {
            let mut labels = labels.clone();
            let mut say = |key: &str, value: &str| {
                labels.insert(
                    format!("__meta_kubernetes_pod_container_{key}"),
                    value.into(),
                );
            };
            say("name", name_of(container));
            say("port_name", name_of(port));
            say("port_number", &port["containerPort"].to_string());
            let address = format!("{}:{}", text(pod, "/status/podIP"), port["containerPort"]);
            targets.push(json!({"targets": [address], "labels": labels}));
        }
    }
    targets
}

/// A target for each port of each endpoint.
fn of_slice(slice: &Value) -> Vec<Value> {
    let mut targets = Vec::new();
    for port in list(slice, "/ports") {
        for endpoint in list(slice, "/endpoints") {
            let addresses = strings(endpoint, "/addresses").into_iter();
            let addresses = addresses.map(|address| format!("{address}:{}", port["port"]));
            targets.push(json!({
                "targets": addresses.collect::<Vec<_>>(),
                "labels": {
                    "__meta_kubernetes_namespace": text(slice, "/metadata/namespace"),
                    "__meta_kubernetes_endpointslice_name": name(slice),
                    "__meta_kubernetes_endpointslice_port_name": name_of(port),
                    "__meta_kubernetes_endpointslice_endpoint_conditions_ready": "true",
                    "__meta_kubernetes_service_name":
                        text(slice, "/metadata/labels/kubernetes.io~1service-name"),
                },
            }));
        }
    }
    targets
}

fn name_of(value: &Value) -> &str {
    text(value, "/name")
}
